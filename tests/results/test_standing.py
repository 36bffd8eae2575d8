"""One figure and one verdict of a run, and how a run stands."""

import fcntl
import json
import math
from dataclasses import replace

import pytest
from rulesmith import Program, RulesmithError
from rulesmith.programs.parts import Programs
from rulesmith.results.standing import (
    BETTER,
    NOTHING,
    UNKNOWN,
    WORSE,
    YARDSTICK,
    Figure,
    keep_comparison,
    kept_comparison,
    standing,
    verdict_of,
)
from rulesmith.results.views.generations import figure_of_centers
from rulesmith.results.views.programs import families
from rulesmith.search.archive import Entry
from rulesmith.search.candidates import Candidate
from rulesmith.search.store import ENDED, Store, is_running, state_of

LOSS = Figure("loss / AdamW's", 0.9, True, "tuned AdamW", "its tasks")
RETURN = Figure("normalized return", 0.9, False, "tuned PPO", "its environments", nothing=0.0)


@pytest.mark.parametrize(
    ("figure", "kind", "says"),
    [
        (LOSS, UNKNOWN, "looks better than tuned AdamW"),
        (replace(LOSS, value=1.1), WORSE, "worse than tuned AdamW even on its tasks"),
        (replace(LOSS, value=1.1, error=0.06), UNKNOWN, "looks as good as"),
        (RETURN, WORSE, "worse than tuned PPO"),
        (replace(RETURN, value=1.2), UNKNOWN, "looks better than tuned PPO"),
        (replace(RETURN, value=-0.1), NOTHING, "below agents that learn nothing"),
        (replace(RETURN, value=-0.1, error=math.inf), NOTHING, "below agents that learn nothing"),
        (replace(RETURN, error=math.inf), UNKNOWN, "Too little has been seen"),
        (replace(LOSS, yardstick=""), UNKNOWN, "not yet known"),
    ],
)
def test_the_verdict_of_a_figure(figure, kind, says):
    assert figure.verdict.kind == kind
    assert says in figure.verdict.sentence


def test_a_figure_says_its_unit_and_what_is_good():
    assert str(LOSS) == "loss / AdamW's 0.9000 (tuned AdamW 1; smaller is better)"
    assert str(RETURN) == "normalized return 0.9000 (tuned PPO 1, agents that learn nothing 0; larger is better)"


def comparison(value, low, high, *, too_few="", agents=False, warnings=(), task="words"):
    row = {"environment": "Catch", "horizon": 1e4} if agents else {"task": task}
    rule = {"interquartile_mean": {"value": value, "low": low, "high": high}, "tasks": [row]}
    return {"rules": {"mine": rule}, "too_few": too_few, "warnings": list(warnings)}


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        (comparison(0.9, 0.85, 0.95), BETTER, "Better than tuned AdamW: loss / that of AdamW 0.900 [0.850, 0.950]"),
        ({**comparison(1.0, 0.99, 1.01), "baseline": "mine"}, YARDSTICK, "others are judged by"),
        (comparison(1.1, 1.05, 1.2), WORSE, "Worse than tuned AdamW"),
        (comparison(0.9, 0.85, 1.01), UNKNOWN, "Not shown to differ from tuned AdamW"),
        (comparison(0.9, 0.85, 0.95, too_few="2 of 8 tasks"), UNKNOWN, "2 of 8 tasks, too few"),
        (comparison(0.9, 0.85, 0.95, task="digits"), UNKNOWN, "the search looked at digits: no proof"),
        (comparison(0.9, 0.85, 0.95, agents=True), WORSE, "Worse than tuned PPO: normalized return"),
        (comparison(1.2, 1.1, 1.3, agents=True), BETTER, "Better than tuned PPO"),
        (
            comparison(
                0.1, 0.0, 0.2, agents=True, warnings=["in Catch mine is below agents that learn nothing (0, 1)"]
            ),
            NOTHING,
            "below agents that learn nothing",
        ),
    ],
)
def test_the_verdict_of_a_comparison(found, kind, says):
    verdict = verdict_of(found, "mine", seen=("digits",))
    assert verdict.kind == kind
    assert says in verdict.sentence
    assert verdict_of(found, "other") is None


def test_a_comparison_is_kept_for_the_rule_that_it_judged(tmp_path):
    found = comparison(0.9, 0.85, 0.95)
    keep_comparison(tmp_path, "mine", "a hash", found)
    assert kept_comparison(tmp_path, "a hash")["found"] == json.loads(json.dumps(found))
    assert kept_comparison(tmp_path, "another") is None
    assert standing(LOSS, kept_comparison(tmp_path, "a hash"), ()).verdict.kind == BETTER
    assert standing(LOSS, kept_comparison(tmp_path, "another"), ()).verdict.kind == UNKNOWN
    assert standing(None, None, ()).figure is None
    (tmp_path / "comparison.json").write_text("[1")
    assert kept_comparison(tmp_path, "a hash") is None


def test_one_generation_says_nothing_and_many_are_a_mean_with_its_error():
    assert figure_of_centers([], "x") is None
    assert figure_of_centers([0.5], "x").verdict.kind == UNKNOWN
    figure = figure_of_centers([9.0] * 30 + [0.4, 0.6] * 10, "x")
    assert figure.name == "normalized return, last 20 generations"
    assert figure.value == pytest.approx(0.5)
    assert figure.error == pytest.approx(0.1 / math.sqrt(19))
    assert figure.verdict.kind == WORSE


def entry(index, text, fitness):
    programs = Programs.of(Program.parse(text))
    return Entry(Candidate(index, programs, None, "start", 0, programs.digest, 1), fitness)


def test_programs_that_differ_in_constants_are_one_family():
    momentum = "def update(g, m, lr):\n    m = interp(g, m, {})\n    return lr * m, m\n"
    renamed = "def update(g, other, lr):\n    other = interp(g, other, 0.7)\n    return other * lr, other\n"
    sign = "def update(g, lr):\n    return lr * sign(g)\n"
    rows = [(0, momentum.format(0.9), 0.8), (1, sign, 0.85), (2, momentum.format(0.8), 0.9), (3, renamed, 0.7)]
    found = families([entry(*row) for row in rows])
    assert [(family.best.candidate.index, family.count, family.worst) for family in found] == [
        (3, 3, 0.9),
        (1, 1, 0.85),
    ]


def test_programs_of_different_length_are_no_family():
    momentum = "def update(g, m, lr):\n    m = interp(g, m, {})\n    return lr * m, m\n"
    two = Programs.of({"matrix": Program.parse(momentum.format(0.9)), "other": Program.parse(momentum.format(0.8))})
    pair = Entry(Candidate(1, two, None, "start", 0, two.digest, 4), 0.7)
    one = entry(0, momentum.format(0.9), 0.8)
    assert [family.count for family in families([one, pair])] == [1, 1]


def test_the_state_of_a_run(tmp_path):
    with Store.create(tmp_path / "run", {"method": "symbolic"}) as store:
        assert is_running(store.directory)
        assert state_of(store) == "running"
    with Store.open(tmp_path / "run", write=True) as store:
        store.add_fact(ENDED, "failed: the disk is full")
    with Store.open(tmp_path / "run") as store:  # to read locks nothing
        assert state_of(store) == "failed: the disk is full"
    with Store.open(tmp_path / "run", write=True) as store:
        store.add_fact(ENDED, None)
    with Store.open(tmp_path / "run") as store:
        assert state_of(store) == "stopped"
    with (tmp_path / "run" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_running(tmp_path / "run")
    assert not is_running(tmp_path / "nowhere")


def test_runs_cannot_be_sorted_by_what_is_not_there(tmp_path):
    from rulesmith.results.reporting import runs_table

    with pytest.raises(RulesmithError, match="did you mean 'figure'"):
        runs_table(tmp_path, "figur")
