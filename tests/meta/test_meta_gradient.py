"""Meta-gradients for LPG: what they are of, that critics learn, and that agents live and die."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.environment import make
from rulesmith.meta.lpg_learner import LpgLearner, LpgSettings
from rulesmith.meta.meta_gradient import MetaGradient, MetaSettings
from rulesmith.programs.objective import Shapes
from rulesmith.results.reporting import run_json
from rulesmith.search.curricula.lifetimes import draw_lifetimes
from rulesmith.search.methods.objective import ObjectiveConfig, discover
from rulesmith.search.strategies.evolution_strategies import EsSettings
from rulesmith.search.strategies.meta_gradient import MetaGradientDescent

ENV = make("grid/small")
RULE = {name: jnp.asarray(array) for name, array in Shapes.lpg(timed=False, hidden=8).draw(0, 1.0).items()}


def parts(agents=4, chunk=4, lifetimes=(40, 40), **settings):
    meta = MetaGradient(
        LpgLearner(ENV, LpgSettings(workers=8, steps=10)), 40.0, MetaSettings(chunk=chunk, updates=3, **settings)
    )

    def born(seed):
        drawn = draw_lifetimes(ENV, lifetimes, (1, agents), jax.random.key(seed))
        return meta.born(drawn.keys[0], jax.tree.map(lambda x: x[0], drawn.params), drawn.updates[0])

    return meta, born


def test_the_chunk_changes_nothing_but_memory():
    results = []
    for chunk in (1, 2, 4):
        meta, born = parts(chunk=chunk)
        gradient, living, *_ = meta.step(RULE, born(0), born(1), jax.random.key(2))
        results.append((gradient, living.agent.params))
    for other in results[1:]:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), results[0], other)


def test_the_gradient_is_that_of_the_loss():
    meta, born = parts(agents=1)
    living = jax.tree.map(lambda x: x[0], born(0))
    loss = jax.jit(lambda rule: meta._live(rule, living, jax.random.key(5))[0])
    gradient = jax.grad(lambda rule: meta._live(rule, living, jax.random.key(5))[0])(RULE)
    # Along the gradient itself; a step so small that no sampled action changes.
    norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(gradient)))
    h = 2e-3 / norm
    ends = [float(loss(jax.tree.map(lambda w, g, s=s: w + s * h * g, RULE, gradient))) for s in (1, -1)]
    assert (ends[0] - ends[1]) / float(2 * h) == pytest.approx(float(norm) ** 2, rel=0.1)


def test_critics_learn():
    env = make("CartPole-v1")  # whose every step is worth 1
    meta = MetaGradient(LpgLearner(env, LpgSettings(workers=8, steps=10)), 1e-3, MetaSettings(updates=1))
    levels = jax.tree.map(lambda x: np.stack([x, x]), env.params)
    born = meta.born(jax.random.split(jax.random.key(0), 2), levels, np.full(2, 10_000))
    living = born
    for i in range(80):
        before = living.critic
        _, living, *_ = meta.step(RULE, living, born, jax.random.key(i))
        moved = [float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (before, living.critic)))]
        assert max(moved) > 0
    values = [
        [meta._value(jax.tree.map(lambda x, i=i: x[i], who.critic), living.workers.observation[i]) for i in range(2)]
        for who in (born, living)
    ]
    assert np.mean(values[0]) < 2
    assert np.mean(values[1]) > 5


def test_agents_whose_life_is_over_make_room():
    meta, born = parts(lifetimes=(5, 5))  # two meta-steps of three updates
    living = born(0)
    over = []
    for i in range(4):
        _, living, _, ended = meta.step(RULE, living, born(10 + i), jax.random.key(i))
        over.append(bool(ended.all()))
        assert ended.all() or not ended.any()
    assert over == [False, True, False, True]
    fresh = born(13)
    np.testing.assert_array_equal(living.clock.done, fresh.clock.done)
    jax.tree.map(np.testing.assert_array_equal, living.level, fresh.level)


def test_descent_is_adam_and_does_not_follow_nan():
    strategy = MetaGradientDescent({"a": np.ones(2, np.float32)}, 0.1)
    state = strategy.init(jax.random.key(0))
    moved = strategy.tell(state, None, {"a": jnp.array([0.1, -0.1])})
    np.testing.assert_allclose(strategy.mean(moved)["a"], [0.9, 1.1], rtol=1e-3)
    assert strategy.tell(moved, None, {"a": jnp.array([jnp.nan, 0.0])}) is moved


CONFIG = ObjectiveConfig(
    rule="lpg",
    environments=("grid/small",),
    horizon=(320, 960),
    hidden=8,
    episodes=4,
    agent={"workers": 4, "steps": 8},
    es=EsSettings("meta-gradient", population=4, learning_rate=1e-3),
)


def test_runs_resume_bit_for_bit(tmp_path):
    discover(CONFIG, tmp_path / "a", generations=4)
    discover(CONFIG, tmp_path / "b", generations=1)
    discover(CONFIG, tmp_path / "b", generations=4, resume=True)
    whole = [json.dumps(run_json(tmp_path / name, stats=False)) for name in "ab"]
    assert whole[0] == whole[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"rule": "lpo"}, "is for lpg and ta-lpg"), ({"environments": ("grid/small", "grid/all")}, "one environment")],
)
def test_what_cannot_work_is_refused(changes, says, tmp_path):
    with pytest.raises(RulesmithError, match=says):
        discover(replace(CONFIG, **{"agent": {}, "horizon": (1e4, 2e4), **changes}), tmp_path / "run", generations=1)
