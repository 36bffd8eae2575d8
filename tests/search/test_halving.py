"""Successive halving: rungs, what must be reached on each, and what is thought of programs that stay behind."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from resumed import run_whole_and_stopped
from rulesmith.meta.fitness import AdamWReference, Bars, Fitness, Protocol, Rung, rung_level, rungs_of
from rulesmith.meta.score import Score
from rulesmith.programs.parts import Programs
from rulesmith.search.curricula.halving import LEAST_KNOWN, Halving
from rulesmith.search.methods.symbolic import METHOD, WARM_START, Symbolic
from rulesmith.search.program_store import ProgramStore

NAMES = ("a", "b", "c")
REFERENCE = AdamWReference(
    1.0,
    dict.fromkeys(NAMES, 1.0),
    dict.fromkeys(NAMES, 1.0),
    {"a": 0.5, "b": 0.3, "c": 0.2},
    dict.fromkeys(NAMES, 2.0),
    dict.fromkeys(NAMES, 0.02),
)
RUNGS = (Rung("a", True, (0,), 0.5), Rung("a", False, (0, 1), 0.5), Rung("b", False, (0, 1), 0.5))
LOSSES = {("a", True): 1.8, ("a", False): 0.8, ("b", False): 1.1}


@pytest.fixture
def fitness(monkeypatch):
    """The fitness of a program whose losses are given; a short training's beside AdamW's 2."""
    made = Fitness(Protocol(NAMES))
    monkeypatch.setattr(made, "_short", lambda name: 3)

    def tried(programs, trials):
        pilots = {i: trial.steps == made.protocol.pilot_steps for i, trial in trials.items()}
        return [np.full(6, 1.0 if pilots[i] else LOSSES[t.task, t.steps > 0]) for i, t in trials.items()]

    monkeypatch.setattr(made, "_tried", tried)
    return made


def bars(*reached):
    return Bars(RUNGS, reached, (0.1, 0.0, 0.0), (0.5, 1.0, 1.0))


def test_a_program_climbs_while_it_is_among_the_best(fitness):
    whole = fitness(Programs.parse(WARM_START), REFERENCE, bars(0.0, 0.0, math.inf))
    assert whole.complete
    levels = [math.log(0.9), math.log(0.8), (0.5 * math.log(0.8) + 0.3 * math.log(1.1)) / 0.8]
    assert whole.rungs == pytest.approx(levels)
    assert whole.losses == {"a": 0.8, "b": 1.1}
    stopped = fitness(Programs.parse(WARM_START), REFERENCE, bars(-0.5, 0.0, math.inf))
    assert stopped.rungs == pytest.approx(levels[:1])
    assert stopped.fitness == pytest.approx(math.exp(0.1 + 0.5 * levels[0]))
    assert stopped.reason.startswith("not among the best on rung 1 of 3, a")
    assert not stopped.complete


def test_a_short_training_counts_half_until_there_is_a_whole_one():
    assert rung_level({"a": 0.5}, {}, REFERENCE) == pytest.approx(math.log(0.5))
    both = rung_level({"a": 0.5, "b": 0.4}, {"a": 0.9}, REFERENCE)
    assert both == pytest.approx((0.5 * math.log(0.9) + 0.15 * math.log(0.4)) / 0.65)


def test_rungs_rise_through_lengths_seeds_and_sizes():
    rungs = rungs_of(Protocol(("iris-mlp-2k", "digits-mlp-2k", "iris-mlp-20k"), (0, 1)), 0.25)
    assert [(r.task, r.short, r.seeds) for r in rungs] == [
        ("iris-mlp-2k", True, (0, 1)),
        ("iris-mlp-2k", False, (0, 1)),
        ("digits-mlp-2k", False, (0, 1)),
        ("iris-mlp-20k", True, (0,)),
        ("iris-mlp-20k", False, (0, 1)),
    ]
    assert [r.kept for r in rungs] == pytest.approx([0.25, 0.5, 0.5, 0.25, 0.25])


def scored(*levels):
    return Score(math.exp(levels[-1]), "" if len(levels) == len(RUNGS) else "stopped", {}, levels)


def test_bars_are_what_a_share_of_the_programs_reached_and_clones_count_once():
    halving = Halving(RUNGS, REFERENCE)
    state = halving.init(None)
    assert halving.sample(state, None).bars == (math.inf,) * 3
    first = [scored(0.01 * i) for i in range(LEAST_KNOWN)]
    state = halving.update(state, None, first + first)
    found = halving.sample(state, None)
    assert found.bars[0] == pytest.approx(np.median([0.01 * i for i in range(LEAST_KNOWN)]))
    assert found.bars[1:] == (math.inf,) * 2
    assert json.loads(json.dumps(state)) == state


def test_what_is_thought_of_a_program_is_drawn_to_the_mean_by_noise_and_raised_by_what_comes_later():
    halving = Halving(RUNGS, REFERENCE)
    rng = np.random.default_rng(0)
    levels = rng.normal(0.1, 0.1, 200)
    rising = [scored(x, x + 0.02, x + 0.05) for x in levels]
    found = halving.sample(halving.update(halving.init(None), None, rising), None)
    noise = halving.noise(0)
    assert noise == pytest.approx(0.02)  # one seed, one task
    assert halving.noise(1) == pytest.approx(0.02 / math.sqrt(2))
    assert found.trust[0] == pytest.approx(1 - noise**2 / levels.var())
    drawn = found.trust[0] * 0.3 + (1 - found.trust[0]) * levels.mean()
    assert math.log(found.estimate(0, 0.3)) == pytest.approx(drawn + 0.05)
    assert found.trust[1] > found.trust[0]
    same = halving.sample(halving.update(halving.init(None), None, [scored(0.1 + 1e-6 * i) for i in range(20)]), None)
    assert same.trust[0] == 0.1  # all of their differences may be noise


SMALL = Symbolic(tasks=("iris-mlp-2k", "iris-mlp-20k"), seeds=1, population=8, tournament=3, batch=6)


@pytest.mark.slow
def test_a_search_from_a_rule_of_two_programs_climbs_and_resumes_to_the_same_end(tmp_path):
    config = Symbolic(**{**asdict(SMALL), "init": "muon", "kept": 0.5})
    whole, stopped = run_whole_and_stopped(METHOD, config, tmp_path, 13, 31, workers=2)
    assert whole == stopped
    with ProgramStore.open(tmp_path / "a") as store:
        found = list(store.candidates())
        costs = store.fact("costs")
        assert METHOD.rule(store).programs.keys() in ({"all"}, {"matrix", "other"})
    start, score = found[0]
    assert [label for label, _ in start.programs.parts] == ["matrix", "other"]
    assert score.complete
    assert len(score.rungs) == 4
    assert start.cost > costs["matrix"]["orthogonalize"] > costs["matrix"]["multiply"] > 0
    assert all(candidate.cost <= max(4.0, 1.5 * start.cost) for candidate, _ in found)
    assert any(0 < len(score.rungs) < 4 for _, score in found)
