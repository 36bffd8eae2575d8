"""Rule cards: made from a comparison, shown with the rule, carried by exports."""

import json

import numpy as np
import pytest
from rulesmith import load
from rulesmith.programs import rule_file
from rulesmith.programs.rule import START
from rulesmith.results import cards


def row(task, loss, rates, seconds=2e-6):
    tuning = [[{"learning_rate": rate, "b": b}, found] for rate, b, found in rates]
    best = min((trial for trial in tuning if trial[1] is not None), key=lambda trial: trial[1])[0]
    costs = {"state_bytes": 4.0, "step_seconds": seconds, "adamw_seconds": 1e-6}
    return {"task": task, "losses": [loss] * 3, "setting": best, "tuning": tuning, **costs}


def comparison():
    estimate = {"value": 0.9, "low": 0.8, "high": 1.0}
    names = ["digits-mlp-2k", "topics-mlp-20k"]
    rates = [(0.001, 0.5, 9.0), (0.01, 0.6, 1.04), (0.1, 0.7, 1.0), (0.3, 0.8, None)]
    own = {
        "interquartile_mean": estimate,
        "by_scale": {"up to 5k weights": estimate},
        "best_learning_rates": {"up to 5k weights": 0.1234, "5k to 50k": 0.0567},
        "slope_by_tenfold_size": dict(zip(("value", "low", "high"), np.log([1.1, 1.0, 1.2]).tolist(), strict=True)),
        "tasks": [row(name, loss, rates) for name, loss in zip(names, (0.5, 1.5), strict=True)],
    }
    base = {**own, "tasks": [row(name, 1.0, rates) for name in names]}
    rules = {"lion": own, "adamw": base}
    return {"baseline": "adamw", "claimed": names, "too_few": "", "trials": 64, "seeds": 3, "rules": rules}


def test_a_card_says_what_a_comparison_found():
    made = cards.card(load("lion"), comparison(), 2)
    assert made[START] == 0.057  # of the largest networks
    assert made["learning rates within 5% of the best"] == "0.01 to 0.1"
    assert made["other settings, medians"] == "b 0.7"
    assert made["loss / tuned AdamW's"] == made["loss / tuned AdamW's, up to 5k weights"] == "0.900 [0.800, 1.000]"
    assert made["with ten times as many weights"] == "+10.0% [+0.0%, +20.0%]"
    assert made["worst on"] == "topics-mlp-20k, 1.500 of AdamW's loss"
    assert made["step time / AdamW's"] == 2.0
    assert (
        made["judged on"]
        == "2 tasks of 2 data sets, batches of 32 to 64, 64 settings and 3 seeds each, trained with a warm-up"
    )
    assert made["looks at these tasks"] == 2


def test_the_card_from_a_pilot_has_no_interval():
    made = cards.card(load("lion"), {**comparison(), "too_few": "7 of 8 tasks"}, 1)
    assert made["loss / tuned AdamW's"] == made["loss / tuned AdamW's, up to 5k weights"] == "0.900"
    assert made["with ten times as many weights"] == "+10.0%"
    assert made["a pilot"] == "it has 7 of 8 tasks: too few to say which is better"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Published rules whose cards may be written."""
    for path in rule_file.PUBLISHED.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(rule_file, "PUBLISHED", tmp_path)
    (tmp_path / "cards.json").write_text(json.dumps({"nadamw": {"judged on": "other tasks"}}))
    rule_file.cards.cache_clear()
    cards.write_cards(comparison(), 1)
    rule_file.cards.cache_clear()
    yield tmp_path
    rule_file.cards.cache_clear()


def test_a_published_rule_carries_its_card(published):
    rule = rule_file.find_optimizer("lion")
    assert rule.evidence[START] == 0.057
    assert f"{START}: 0.057" in rule.to_source()
    assert START in rule_file.dumps(rule)
    made = json.loads((published / "cards.json").read_text())
    assert set(made) == set(rule_file.published())
    assert made["nadamw"] == {"judged on": "other tasks"}  # this comparison did not judge it
    assert made["sgd"] == cards.UNJUDGED
