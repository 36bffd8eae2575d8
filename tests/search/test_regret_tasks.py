"""The curriculum of tasks by regret: its draw by hand, what it saves, and that a run resumes with it."""

import json
import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from rulesmith import Program, RulesmithError
from rulesmith.meta.fitness import Fitness, Focus, Protocol, Reference
from rulesmith.meta.score import Score
from rulesmith.results.reporting import run_json
from rulesmith.search.curricula.regret_tasks import RegretTasks
from rulesmith.search.methods.symbolic import WARM_START, SymbolicConfig, discover, make_curriculum

TASKS = ("digits-mlp-2k", "digits-autoencoder-2k")


def test_the_draw_is_by_rank_of_regret():
    made = RegretTasks(("a", "b", "c"), uniform=0.0)
    state = {"fitness": 0.9, "losses": {"a": 0.7, "b": 1.1, "c": 0.9}}
    np.testing.assert_allclose(made.probabilities(state), np.array([1 / 3, 1, 1 / 2]) / (11 / 6))
    mixed = replace(made, uniform=0.3).probabilities(state)
    np.testing.assert_allclose(mixed, 0.7 * np.array([1 / 3, 1, 1 / 2]) / (11 / 6) + 0.1)
    drawn = [made.sample(state, jax.random.key(i)).tasks[0] for i in range(300)]
    assert np.mean([name == "b" for name in drawn]) == pytest.approx(6 / 11, abs=0.08)
    two = replace(made, focus=2).sample(state, jax.random.key(0))
    assert len(set(two.tasks)) == 2


def test_the_best_complete_program_is_the_one_to_beat():
    made = RegretTasks(("a", "b"))
    state = made.init(jax.random.key(0))
    assert made.sample(state, jax.random.key(0)) is None
    worse, better = Score(1.2, "", {"a": 1.1, "b": 1.3}), Score(0.8, "", {"a": 0.7, "b": 0.9})
    stopped = Score(0.1, "hopeless after a", {"a": 0.1})
    state = made.update(state, None, [stopped, worse, Score(math.inf)])
    assert state == {"fitness": 1.2, "losses": {"a": 1.1, "b": 1.3}}
    state = made.update(state, None, [better, worse])
    assert state == {"fitness": 0.8, "losses": {"a": 0.7, "b": 0.9}} == made.update(state, None, [worse])


def test_the_estimate_is_the_others_fitness_times_how_they_compare():
    focus = Focus(("a", "b"), 0.8, {"a": 0.5, "b": 2.0, "c": 1.0})
    assert focus.estimate({"a": 0.6, "b": 2.0}) == pytest.approx(0.8 * math.sqrt(1.2))
    assert focus.estimate({"a": 0.5, "b": 2.0}) == pytest.approx(0.8)


def test_only_what_beats_the_best_in_focus_is_tried_elsewhere():
    fitness = Fitness(Protocol(TASKS, seeds=(0,)))
    program, reference = Program.parse(WARM_START), Reference(1.0, dict.fromkeys(TASKS, 1.0))
    protocol = replace(fitness.protocol, hopeless=math.inf, hopeless_pilot=math.inf)
    fitness.protocol = protocol
    whole = fitness(program, reference)
    assert set(whole.losses) == set(TASKS)
    easy = {name: loss * 1.05 for name, loss in whole.losses.items()}
    hard = {name: loss / 1.05 for name, loss in whole.losses.items()}
    beaten = fitness(program, reference, Focus(TASKS[1:], whole.fitness * 1.05, easy))
    assert beaten.complete
    assert beaten.fitness == pytest.approx(whole.fitness)
    stopped = fitness(program, reference, Focus(TASKS[1:], whole.fitness / 1.05, hard))
    assert not stopped.complete
    assert list(stopped.losses) == [TASKS[1]]
    assert stopped.fitness == pytest.approx(whole.fitness)
    assert "no better than the best on digits-autoencoder-2k" in stopped.reason


def test_a_task_that_the_best_is_bad_at_can_still_be_won(monkeypatch):
    losses = {"a": 0.6, "b": 1.16}
    fitness = Fitness(Protocol(("a", "b")))
    monkeypatch.setattr(fitness, "_pilot", lambda program: np.ones(6))
    monkeypatch.setattr(fitness, "_task", lambda program, name, scales, relative: losses[name])
    program, reference = Program.parse(WARM_START), Reference(1.0, {"a": 1.0, "b": 1.0})
    focus = Focus(("b",), math.sqrt(0.6 * 1.2), {"a": 0.6, "b": 1.2})
    found = fitness(program, reference, focus)
    assert found.complete  # though 1.16 alone is above what is hopeless
    assert found.fitness == pytest.approx(math.sqrt(0.6 * 1.16))
    losses["a"] = 2.0
    assert "hopeless" not in fitness(program, reference, focus).reason  # all tasks were tried
    assert "hopeless after a" in fitness(program, reference).reason


def test_a_run_by_regret_resumes_to_the_same_end(tmp_path):
    config = SymbolicConfig(tasks=TASKS, seeds=1, population=8, tournament=3, batch=6, curriculum="regret")
    discover(config, tmp_path / "a", programs=31, workers=1)
    for programs in (13, 31):
        discover(config, tmp_path / "b", programs=programs, workers=1, resume=(tmp_path / "b").exists())
    whole = [json.dumps(run_json(tmp_path / name, stats=False)) for name in "ab"]
    assert whole[0] == whole[1]


def test_one_task_is_no_curriculum():
    with pytest.raises(RulesmithError, match="name more --tasks"):
        make_curriculum(SymbolicConfig(tasks=TASKS[:1], curriculum="regret"))
