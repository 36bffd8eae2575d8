"""The order of tasks and the leader: its draw by hand, what it saves, and that a run resumes with it."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from resumed import run_whole_and_stopped
from rulesmith import RulesmithError
from rulesmith.meta.fitness import AdamWReference, Fitness, Leader, Protocol
from rulesmith.meta.score import Score
from rulesmith.programs.parts import Programs
from rulesmith.results.views import run_json
from rulesmith.search.curricula.task_order import TaskOrder
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods.symbolic import METHOD, WARM_START, Symbolic, make_task_order

TASKS = ("iris-mlp-2k", "wine-mlp-2k")


def test_the_draw_is_by_rank_of_regret():
    made = TaskOrder(("a", "b", "c"), focus=1, uniform=0.0)
    state = {"fitness": 0.9, "losses": {"a": 0.7, "b": 1.1, "c": 0.9}, "since": 0}
    np.testing.assert_allclose(made.probabilities(state), np.array([1 / 3, 1, 1 / 2]) / (11 / 6))
    mixed = replace(made, uniform=0.3).probabilities(state)
    np.testing.assert_allclose(mixed, 0.7 * np.array([1 / 3, 1, 1 / 2]) / (11 / 6) + 0.1)
    drawn = [made.sample(state, jax.random.key(i)).first[0] for i in range(300)]
    assert np.mean([name == "b" for name in drawn]) == pytest.approx(6 / 11, abs=0.08)
    two = replace(made, focus=2).sample(state, jax.random.key(0))
    assert len(set(two.first)) == 2
    assert TaskOrder(("a", "b", "c")).sample(state, jax.random.key(0)).first == ()


def test_the_best_complete_program_leads_until_none_like_it_comes():
    made = TaskOrder(("a", "b"), patience=2)
    state = made.init(jax.random.key(0))
    assert made.sample(state, jax.random.key(0)) is None
    worse, better = Score(1.2, "", {"a": 1.1, "b": 1.3}), Score(0.8, "", {"a": 0.7, "b": 0.9})
    stopped = Score(0.1, "behind the best", {"a": 0.1})
    state = made.update(state, None, [stopped, worse, Score(math.inf)])
    assert (state["fitness"], state["losses"]) == (1.2, {"a": 1.1, "b": 1.3})
    state = made.update(state, None, [better, worse])
    assert (state["fitness"], state["losses"]) == (0.8, {"a": 0.7, "b": 0.9})
    for _ in range(2):
        state = made.update(state, None, [worse])
    assert state["fitness"] == 0.8
    assert made.update(state, None, [better])["since"] == 0
    state = made.update(state, None, [worse])
    assert made.sample(state, jax.random.key(0)) is None


def test_the_estimate_is_the_leaders_fitness_times_how_they_compare():
    leader = Leader(0.8, {"a": 0.5, "b": 2.0, "c": 1.0})
    assert leader.estimate({"a": 0.6, "b": 2.0}, REFERENCE) == pytest.approx(0.8 * 1.2 ** (1 / 3))
    assert leader.estimate({"a": 0.5}, REFERENCE) == pytest.approx(0.8)
    assert leader.estimate({"a": 0.5, "b": 2.0, "c": 0.5}, REFERENCE) == pytest.approx(0.8 * 0.5 ** (1 / 3))


@pytest.fixture
def fitness(monkeypatch):
    """The fitness of a program whose losses are given."""
    made = Fitness(Protocol(("a", "b", "c")))
    monkeypatch.setattr(made, "_tried", lambda programs, trials: [np.full(6, LOSSES[t.task]) for t in trials.values()])
    return made


LOSSES = {"a": 0.6, "b": 1.16, "c": 0.9}
REFERENCE = AdamWReference(1.0, *(dict.fromkeys("abc", 1.0),) * 2, dict.fromkeys("abc", 1 / 3))


@pytest.mark.parametrize(
    ("leader", "tried"),
    [
        (None, "abc"),
        (Leader(1.0, {"a": 0.55, "b": 1.2, "c": 1.0}, (), 1.04), "abc"),
        (Leader(1.0, {"a": 0.5, "b": 1.2, "c": 1.0}, (), 1.04), "a"),
        (Leader(1.0, {"a": 0.58, "b": 0.9, "c": 1.0}, (), 1.04), "ab"),
        (Leader(1.0, {"a": 0.5, "b": 1.2, "c": 1.0}, ("b",), 1.0), "ba"),
        (Leader(1.0, {"a": 0.6, "b": 1.2, "c": 1.0}, ("b",), 1.0), "bac"),
        (Leader(1.0, {"a": 0.5, "b": 1.16, "c": 1.0}, ("b",), 1.0), "b"),
        (Leader(1.0, {"a": 0.5, "b": 1.15, "c": 0.2}, ("c", "b"), 1.0), "cb"),
    ],
)
def test_a_program_is_tried_until_it_falls_behind(fitness, leader, tried):
    score = fitness(Programs.parse(WARM_START), REFERENCE, leader)
    assert "".join(score.losses) == tried
    assert score.complete == (len(tried) == 3)
    if not score.complete:
        assert score.fitness == leader.estimate(score.losses, REFERENCE) >= leader.slack * leader.fitness
        assert f"behind the best after {tried[-1]}" in score.reason
    else:
        assert score.fitness == pytest.approx(math.prod(LOSSES.values()) ** (1 / 3))


@pytest.mark.slow
def test_a_run_by_regret_resumes_to_the_same_end(tmp_path):
    config = Symbolic(tasks=TASKS, seeds=1, population=8, tournament=3, batch=6, curriculum="regret")
    whole, stopped = run_whole_and_stopped(METHOD, config, tmp_path, 13, 31)
    assert whole == stopped


def test_programs_scored_in_groups_are_scored_alike(tmp_path):
    config = Symbolic(tasks=TASKS, seeds=1, population=8, tournament=3, batch=6)
    found = []
    for name, memory, workers in (("a", 0.0, 1), ("b", 1e-9, 2)):  # so little memory is one program at once
        made = replace(config, memory=memory)
        discover(METHOD, made, tmp_path / name, bound=13, resources=Workers(workers))
        found.append({**run_json(tmp_path / name, stats=False), "config": None})
    assert found[0] == found[1]
    assert found[0]["hall_of_fame"]


def test_one_task_is_no_curriculum():
    with pytest.raises(RulesmithError, match="name more --tasks"):
        make_task_order(Symbolic(tasks=TASKS[:1], curriculum="regret"))
