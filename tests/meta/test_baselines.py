"""Shipped tunings count for what they were made of, and for nothing else."""

import json
from dataclasses import replace

import optax
import pytest
from rulesmith import load
from rulesmith.envs.tasks import find
from rulesmith.meta import baselines
from rulesmith.meta.contestants import Contestant, contestant_of_rule
from rulesmith.meta.tuning import TUNING_SEEDS, tune
from rulesmith.results.comparison import compare
from rulesmith.results.tuning_command import tune_rules

TASK = find(["iris-mlp-2k"])[0]


@pytest.fixture
def shipping(tmp_path, monkeypatch):
    """AdamW tuned by `rulesmith tune`, as if it were shipped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "baselines.json"
    tune_rules(["adamw"], [TASK.name], sizes=[], trials=10, seeds=TUNING_SEEDS, workers=1, output=file)
    monkeypatch.setattr(baselines, "BASELINES", file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fresh"))
    return file


def test_a_tuning_that_is_shipped_is_what_tuning_finds(shipping):
    adamw = contestant_of_rule(load("adamw"))
    found = baselines.shipped(adamw, TASK, trials=10, seeds=TUNING_SEEDS)
    made = tune(adamw.rule, adamw.ranges, TASK, trials=10, seeds=TUNING_SEEDS)
    assert found is not None
    assert found.setting == made.setting == baselines.baseline("adamw", TASK)
    assert found.whole == made.whole
    assert (found.validation, found.test) == (made.validation, made.test)
    for (setting, loss), (other, exact) in zip(found.tuning, made.tuning, strict=True):
        assert setting == other
        assert loss == pytest.approx(exact, rel=1e-5)
    assert len(shipping.read_text().splitlines()) < 10  # a line for each row

    wide = {**adamw.ranges, "learning_rate": (1e-5, 1.0)}
    lion = load("lion")
    longer, fewer = replace(TASK, steps=TASK.steps + 1), type(TASK.data.train)(*(x[1:] for x in TASK.data.train))
    for contestant, task, trials, seeds in (
        (adamw, TASK, 11, TUNING_SEEDS),
        (adamw, TASK, 10, TUNING_SEEDS + 1),
        (Contestant("adamw", adamw.rule, wide), TASK, 10, TUNING_SEEDS),
        (Contestant("adamw", lion, adamw.ranges), TASK, 10, TUNING_SEEDS),
        (adamw, longer, 10, TUNING_SEEDS),
        (adamw, replace(TASK, splits=TASK.data._replace(train=fewer)), 10, TUNING_SEEDS),
        (Contestant("adamw", optax.adamw, adamw.ranges), TASK, 10, TUNING_SEEDS),
    ):
        assert baselines.shipped(contestant, task, trials=trials, seeds=seeds) is None


def test_a_comparison_does_not_tune_again_what_is_shipped(shipping, tmp_path):
    kept = json.loads(shipping.read_text())
    kept["baselines"][0]["setting"]["learning_rate"] = 0.0123
    shipping.write_text(json.dumps(kept))
    baselines._rows.cache_clear()
    found = compare("adamw", tasks=TASK.name, trials=10, seeds=2, workers=1)
    assert found.verdicts["adamw"][0].setting["learning_rate"] == 0.0123
    # The verdict is kept, and not what is shipped, as if this machine had tuned it.
    assert len(list((tmp_path / "fresh" / "rulesmith" / "verdicts").glob("*.json"))) == 1


def test_rows_that_are_shipped_are_those_of_todays_rules_and_tasks():
    rows = [row for row in baselines._rows(baselines.BASELINES) if "mark" in row]
    assert rows
    for row in rows:
        if not row["task"].startswith(("source", "docstrings", "topics")):  # the texts of this Python
            contestant, (task,) = contestant_of_rule(load(row["rule"])), find([row["task"]])
            found = baselines.shipped(contestant, task, trials=row["trials"], seeds=row["seeds"])
            assert found is not None, (
                f"retune {row['rule']} on {row['task']}: rulesmith tune ... -o results/baselines.json"
            )
