"""Meta-gradients for LPG: what they are of, that critics learn, and that agents live and die."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.registry import make
from rulesmith.envs.rollout import rollout, start
from rulesmith.meta.critic import Critic, CriticState
from rulesmith.meta.lpg_learner import LpgLearner, LpgSettings
from rulesmith.meta.meta_gradient import MetaGradient, Newborn
from rulesmith.meta.meta_settings import MetaSettings
from rulesmith.programs.objective import Shapes
from rulesmith.results.views import run_json
from rulesmith.search.curricula.lifetimes import draw_lifetimes
from rulesmith.search.method import discover
from rulesmith.search.methods.objective import METHOD, ObjectiveSearch
from rulesmith.search.strategies.meta_gradient import MetaGradientDescent

ENV = make("grid/small")
RULE = {name: jnp.asarray(array) for name, array in Shapes.lpg(timed=False, hidden=8).draw(0, 1.0).items()}


def parts(agents=4, chunk=4, lifetimes=(40, 40), **settings):
    meta = MetaGradient(
        LpgLearner(ENV, LpgSettings(workers=8, steps=10)),
        (20.0, 80.0),
        MetaSettings(updates=3, **settings),
        chunk,
        rule=RULE,
    )

    def drawn(seed):
        found = draw_lifetimes(ENV, lifetimes, (1, agents), jax.random.key(seed))
        return Newborn(np.zeros(agents, bool), jax.tree.map(lambda x: x[0], found.params), found.updates[0])

    def born(seed):
        newborn = drawn(seed)
        return meta.born(jax.random.split(jax.random.key(seed), agents), newborn.level, newborn.total)

    return meta, born, drawn


@pytest.mark.slow
def test_the_chunk_changes_nothing_but_memory():
    results = []
    for chunk in (1, 2, 4):
        meta, born, drawn = parts(chunk=chunk)
        gradient, living, _ = meta.step(RULE, born(0), drawn(1), jax.random.key(2))
        results.append((gradient, living.agent.params))
    for other in results[1:]:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), results[0], other)


def test_the_gradient_is_that_of_the_loss():
    meta, born, _ = parts(agents=1)
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
    meta = MetaGradient(LpgLearner(env, LpgSettings(workers=8, steps=10)), (1e-3, 1e-3), MetaSettings(updates=1))
    levels = jax.tree.map(lambda x: np.stack([x, x]), env.params)
    born = meta.born(jax.random.split(jax.random.key(0), 2), levels, np.full(2, 10_000))
    living, stay = born, Newborn(np.zeros(2, bool), levels, np.full(2, 10_000))
    for i in range(80):
        before = living.critic
        _, living, _ = meta.step(RULE, living, stay, jax.random.key(i))
        moved = [float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (before, living.critic)))]
        assert max(moved) > 0
    values = [
        [
            meta.critic.value(jax.tree.map(lambda x, i=i: x[i], who.critic), living.workers.observation[i])
            for i in range(2)
        ]
        for who in (born, living)
    ]
    assert np.mean(values[0]) < 2
    assert np.mean(values[1]) > 5


def plain_returns(seen, values, last, gamma, decay):
    """Return lambda-returns, worker by worker and backwards."""
    targets = np.zeros(seen.reward.shape)
    for worker in range(targets.shape[1]):
        after, advantage = float(last[worker]), 0.0
        for t in reversed(range(len(targets))):
            over = bool(seen.done[t, worker])
            later = float(seen.bootstrap[t, worker]) if over else after
            error = float(seen.reward[t, worker]) + gamma * later - values[t, worker]
            advantage = error + gamma * decay * (0.0 if over else advantage)
            after = values[t, worker]
            targets[t, worker] = after + advantage
    return targets


def test_a_critics_step_is_that_of_the_mean_square_and_goes_to_the_mean_of_its_targets_at_most():
    learner = LpgLearner(ENV, LpgSettings(workers=4, steps=10))
    agent = learner.init(jax.random.key(0))
    workers = start(ENV, ENV.params, jax.random.key(1), 4)
    workers, seen, _ = rollout(ENV, ENV.params, learner.policy(agent), workers, jax.random.key(2), 10)
    states, last = np.asarray(seen.observation), np.asarray(workers.observation)
    for rate in (0.5, 4.0, 1e6):
        critic = Critic(learner, MetaSettings(critic_rate=rate))
        zeros = critic.init(jax.random.key(0)).params
        params = jax.tree.map(lambda x: 0.1 * jax.random.normal(jax.random.key(3), x.shape), zeros)
        (table,) = (np.asarray(x)[:, 0] for x in jax.tree.leaves(params))
        targets = plain_returns(seen, table[states], table[last], 0.99, 0.95)
        after, said = critic.learn(CriticState(params, ()), seen, workers.observation)
        np.testing.assert_allclose(said.targets, targets, rtol=1e-4, atol=1e-5)
        wanted = table.copy()
        for state in np.unique(states):
            here = states == state
            wanted[state] += min(1.0, 2 * rate * here.mean()) * (targets[here].mean() - table[state])
        (found,) = (np.asarray(x)[:, 0] for x in jax.tree.leaves(after.params))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_rates_are_drawn_for_each_life():
    _, born, _ = parts(agents=64, lifetimes=(3, 3))
    rates = np.asarray(born(0).rate)
    assert 20.0 <= rates.min() < 30.0
    assert 60.0 < rates.max() <= 80.0
    assert np.mean(np.log(rates)) == pytest.approx(np.log(40.0), abs=0.2)


@pytest.mark.parametrize(
    "settings", [{"critic": "last-rollout", "normalize": "nothing", "penalty": "logarithms"}, {"scale": "adam"}]
)
def test_every_part_of_the_form_is_a_setting(settings):
    published, born, drawn = parts(agents=2, chunk=2)
    changed, born_so, _ = parts(agents=2, chunk=2, **settings)
    first, _, seen = published.step(RULE, born(0), drawn(1), jax.random.key(2))
    second, living, other = changed.step(RULE, born_so(0), drawn(1), jax.random.key(2))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(second))
    assert any(not np.allclose(a, b) for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True))
    for name in ("entropy", "y entropy"):  # the same agents by the same keys
        np.testing.assert_allclose(seen.signs[name], other.signs[name], rtol=1e-4)
    if settings.get("scale") == "adam":  # the first step of an Adam of one's own is the gradient's sign
        sizes = np.abs(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(second)]))
        assert 0.9 < sizes.max() <= 1.0 + 1e-5
        assert any(np.any(leaf) for leaf in jax.tree.leaves(living.moments))
    else:
        assert np.all(other.signs["regularizers"] != seen.signs["regularizers"])


def test_each_agents_gradient_is_clipped_by_itself():
    steep = {"policy_entropy": 1e3}  # its share of the gradients is so large that they are clipped
    raw, born, drawn = parts(agents=2, chunk=2, **steep)
    clipped, born_so, _ = parts(agents=2, chunk=2, scale="clipped", **steep)
    found, _, _ = clipped.step(RULE, born_so(0), drawn(1), jax.random.key(2))
    keys = jax.random.key_data(jax.random.split(jax.random.key(2), 2))
    each = jax.vmap(jax.grad(raw._live_anew, has_aux=True), (None, 0, 0, 0))
    shares, _ = each(RULE, born(0), drawn(1), keys)
    norms = np.sqrt(sum(np.square(x).reshape(2, -1).sum(axis=1) for x in jax.tree.leaves(shares)))
    assert norms.max() > 1.0
    wanted = jax.tree.map(lambda x: np.einsum("a...,a->...", x, 1 / np.maximum(1.0, norms)) / 2, shares)
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_agents_whose_life_is_over_make_room():
    meta, born, drawn = parts(lifetimes=(5, 5))  # two meta-steps of three updates
    living, vacant, over = born(0), np.zeros(4, bool), []
    for i in range(4):
        _, living, seen = meta.step(RULE, living, drawn(10 + i)._replace(vacant=vacant), jax.random.key(i))
        vacant = np.asarray(seen.over)
        assert vacant.all() or not vacant.any()
        over.append(bool(vacant.all()))
    assert over == [False, True, False, True]
    one = np.array([True, False, False, True])
    _, later, _ = meta.step(RULE, living, drawn(20)._replace(vacant=one), jax.random.key(9))
    np.testing.assert_array_equal(later.clock.done, np.where(one, 3, 9))
    for new, given, old in zip(*map(jax.tree.leaves, (later.level, drawn(20).level, living.level)), strict=True):
        np.testing.assert_array_equal(new[one], given[one])
        np.testing.assert_array_equal(new[~one], old[~one])


def test_an_agent_that_diverged_makes_room_and_has_no_share_in_the_gradient():
    meta, born, drawn = parts(agents=4, chunk=2)
    living = born(0)
    spoilt = jax.tree.map(lambda x: x.at[3].set(jnp.nan), living.agent.params)
    gradient, _, seen = meta.step(
        RULE, living._replace(agent=living.agent._replace(params=spoilt)), drawn(1), jax.random.key(2)
    )
    assert seen.over.tolist() == [False, False, False, True] == (~seen.sound).tolist()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_devices_share_the_chunks():
    found = []
    for count in (1, 2):
        meta, born, drawn = parts(chunk=2)
        meta._devices = jax.devices()[:count]
        found.append(jax.tree.map(np.asarray, meta.step(RULE, born(0), drawn(1), jax.random.key(2))))
    # Not bit for bit: a loop over one chunk is compiled otherwise than a loop over two.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), *found)


def test_descent_is_adam_and_does_not_follow_nan():
    strategy = MetaGradientDescent({"a": np.ones(2, np.float32)}, 0.1)
    state = strategy.init(jax.random.key(0))
    moved = strategy.tell(state, None, {"a": jnp.array([0.1, -0.1])})
    np.testing.assert_allclose(strategy.mean(moved)["a"], [0.9, 1.1], rtol=1e-3)
    assert strategy.tell(moved, None, {"a": jnp.array([jnp.nan, 0.0])}) is moved


CONFIG = ObjectiveSearch(
    rule="lpg",
    environments=("grid/small",),
    horizon=(320, 960),
    hidden=8,
    episodes=4,
    agent={"workers": 4, "steps": 8},
    strategy="meta-gradient",
    agents=4,
    learning_rate=1e-3,
)


def test_runs_resume_bit_for_bit(tmp_path):
    discover(METHOD, CONFIG, tmp_path / "a", bound=4)
    discover(METHOD, CONFIG, tmp_path / "b", bound=1)
    discover(METHOD, CONFIG, tmp_path / "b", bound=4, resume=True)
    whole = [json.dumps(run_json(tmp_path / name, stats=False)) for name in "ab"]
    assert whole[0] == whole[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"rule": "lpo"}, "is for lpg and ta-lpg"), ({"environments": ("grid/small", "grid/all")}, "one environment")],
)
def test_what_cannot_work_is_refused(changes, says, tmp_path):
    with pytest.raises(RulesmithError, match=says):
        discover(METHOD, replace(CONFIG, **{"agent": {}, "horizon": (1e4, 2e4), **changes}), tmp_path / "run", bound=1)
