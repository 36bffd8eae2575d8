"""Symbolic search over drifts: on returns, and to distil a learned one."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError, load
from rulesmith.envs.registry import make
from rulesmith.meta.drift_learner import Hyper
from rulesmith.meta.learners import learner_for
from rulesmith.meta.visited import Visited, visited
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.programs.parts import Programs
from rulesmith.results.views import run_json
from rulesmith.search.candidates import Candidate
from rulesmith.search.method import discover
from rulesmith.search.methods import distillation, drift
from rulesmith.search.problems.drifts import ReturnScorer, SlopeScorer
from rulesmith.search.problems.return_scale import ReturnScale

SMALL = {"workers": 4, "steps": 8, "minibatches": 2, "epochs": 2, "widths": (8,)}
CONFIG = drift.DriftSearch(
    ("Catch-bsuite",), (64, 320), each=2, episodes=4, agent=SMALL, population=12, tournament=4, batch=8
)
PPO = load("ppo-clip").program


def proposed(*texts):
    return [Candidate(i, Programs.parse(text), None, "start", 0, str(i), 1) for i, text in enumerate(texts)]


def grid():
    log_ratio, advantage = np.meshgrid(np.linspace(-0.7, 0.7, 15), np.linspace(-2, 2, 8))
    progress = np.linspace(0, 0.99, log_ratio.size, dtype=np.float32)
    return Visited(log_ratio.ravel().astype(np.float32), advantage.ravel().astype(np.float32), progress)


def test_the_slope_score_is_zero_for_the_same_drift_and_one_for_none():
    scorer = SlopeScorer(load("dpo"), grid())
    same, none = load("dpo").program.to_text(), "def drift(r):\n return 0 * r"
    scores = scorer(proposed(same, none, PPO.to_text()))
    assert scores[0].fitness == pytest.approx(0, abs=1e-9)
    assert scores[1].fitness == pytest.approx(1)
    assert scores[2].fitness > 0
    broken = scorer(proposed("def drift(r):\n return log(r - 1) / 0"))[0]
    assert broken.fitness == np.inf
    assert "diverges" in broken.reason


def test_distillation_explains_much_of_a_learned_drift(tmp_path):
    target = Objective("target", "drift", arrays=Shapes.drift(timed=False).draw(0, 2.0), agent=SMALL)
    config = distillation.Distillation(
        target, ("Catch-bsuite",), (64, 320), init="ppo-kl", episodes=4, population=60, tournament=4, batch=32
    )
    discover(distillation.METHOD, config, tmp_path / "run", bound=1200)
    other = replace(config, rule=replace(target, arrays=Shapes.drift(timed=False).draw(1, 2.0)))
    with pytest.raises(RulesmithError, match="rule is target in"):
        discover(distillation.METHOD, other, tmp_path / "run", bound=1300, resume=True)
    report = run_json(tmp_path / "run", stats=False)
    curve = [entry["fitness"] for entry in report["hall_of_fame"]]
    number, _, first = report["lineage"][0]
    assert number == 0
    assert curve[0] < 0.9 * min(first, 1.0)
    found = load(tmp_path / "run")
    assert found.kind == "drift"
    assert found.program is not None


def test_a_drift_without_a_slope_cannot_be_distilled():
    arrays = Shapes.drift(timed=False).draw(0, 0.0)  # PPO: without a slope inside its clip
    target = Objective("target", "drift", arrays=arrays)
    inside = Visited(np.full(9, 0.01, np.float32), np.ones(9, np.float32), np.zeros(9, np.float32))
    with pytest.raises(RulesmithError, match="nothing to distil"):
        SlopeScorer(target, inside)


@pytest.mark.slow
def test_search_on_returns_resumes_to_the_same_end(tmp_path):
    discover(drift.METHOD, CONFIG, tmp_path / "a", bound=25)
    discover(drift.METHOD, CONFIG, tmp_path / "b", bound=9)
    discover(drift.METHOD, None, tmp_path / "b", bound=25, resume=True)
    assert json.dumps(run_json(tmp_path / "a", stats=False)) == json.dumps(run_json(tmp_path / "b", stats=False))
    assert load(tmp_path / "a").agent["workers"] == 4


def test_an_interpreted_drift_trains_the_same_agents_as_the_compiled_one():
    reference = ReturnScale(0.0, 1.0, 0.01)
    env = make("Catch-bsuite")
    how = {"horizon": (320, 320), "each": 3, "episodes": 4, "entropy": 0.01, "agent": SMALL, "batch": 8, "seed": 0}
    scorer = ReturnScorer([env], [reference], **how)
    score = scorer(proposed(PPO.to_text()))[0]
    _, run, drawn, hyper, _ = scorer._parts[0]
    learner = learner_for(env, load("ppo-clip"), SMALL)
    from rulesmith.meta.lifetime import live

    live_one = jax.jit(lambda key: live(learner, (), hyper, env.params, 10, key, 4).final)
    finals = [float(live_one(drawn.keys[0, i])) for i in range(3)]
    assert -score.fitness == pytest.approx(np.mean(finals), abs=0.35)  # rounding sends agents different ways
    assert run.learner.workers == 4


def test_what_a_drift_visits():
    env = make("Catch-bsuite")
    learner = learner_for(env, load("ppo-clip"), SMALL)
    seen = visited(learner, (), Hyper(0.03, 0.01), env.params, 10, jax.random.key(0), 200)
    assert len({len(x) for x in seen}) == 1
    assert sorted(set(np.round(seen.progress, 3))) == pytest.approx([i / 10 for i in range(10)])
    assert np.abs(seen.log_ratio).max() > 0.01
    assert jnp.isfinite(seen.advantage).all()


def test_a_search_starts_from_programs_only(tmp_path):
    from rulesmith.programs import rule_file

    rule_file.write(Objective("net", "drift", arrays=Shapes.drift(timed=True).draw(0, 1.0)), tmp_path / "net.toml")
    with pytest.raises(RulesmithError, match="starts from a program"):
        discover(drift.METHOD, replace(CONFIG, init=str(tmp_path / "net.toml")), tmp_path / "run", bound=1)
    with pytest.raises(RulesmithError, match="give an objective"):
        discover(drift.METHOD, replace(CONFIG, init="lion"), tmp_path / "run", bound=1)
