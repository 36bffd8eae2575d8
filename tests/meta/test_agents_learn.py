"""Advantages, drifts and LPG against what they are defined as; lifetimes that reach known returns."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import Program, load
from rulesmith.envs.registry import make
from rulesmith.envs.rollout import Trajectory
from rulesmith.meta import gru_gradient
from rulesmith.meta.advantages import generalized_advantages
from rulesmith.meta.drift_learner import DriftLearner, DriftSettings, Hyper
from rulesmith.meta.learners import learner_for
from rulesmith.meta.lifetime import live
from rulesmith.meta.lpg_learner import LpgLearner, LpgSettings
from rulesmith.meta.normalization import Moments, discounted
from rulesmith.programs import lpg
from rulesmith.programs.drift import drift_loss, drift_slope, learned_drift
from rulesmith.programs.lpg import lpg_loss, lpg_targets
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.programs.policies import entropy, log_probability

SMALL = {"workers": 8, "steps": 16, "minibatches": 2, "widths": [16]}


def trajectory(seed, time=12, workers=3):
    rng = np.random.default_rng(seed)
    terminated = rng.random((time, workers)) < 0.15
    truncated = ~terminated & (rng.random((time, workers)) < 0.15)
    bootstrap = np.where(truncated, rng.normal(size=(time, workers)), 0)
    reward = rng.normal(size=(time, workers))
    seen = Trajectory(None, None, *map(jnp.asarray, (reward, terminated, truncated, bootstrap)), None)
    return seen, jnp.asarray(rng.normal(size=(time, workers))), jnp.asarray(rng.normal(size=workers))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_the_sums_that_define_them(seed, gamma, decay):
    seen, values, last = trajectory(seed)
    found = generalized_advantages(seen, values, last, gamma, decay)
    time, workers = values.shape
    for worker in range(workers):
        for t in range(time):
            wanted, weight = 0.0, 1.0
            for k in range(t, time):
                after = float(values[k + 1, worker]) if k + 1 < time else float(last[worker])
                if seen.terminated[k, worker]:
                    after = 0.0
                if seen.truncated[k, worker]:
                    after = float(seen.bootstrap[k, worker])
                wanted += weight * (float(seen.reward[k, worker]) + gamma * after - float(values[k, worker]))
                weight *= gamma * decay
                if seen.done[k, worker]:
                    break
            assert float(found[t, worker]) == pytest.approx(wanted, abs=2e-4)


def batch(seed, size=200, actions=4):
    keys = jax.random.split(jax.random.key(seed), 4)
    logits = jax.random.normal(keys[0], (size, actions))
    action = jax.random.randint(keys[1], (size,), 0, actions)
    old = log_probability(logits + 0.7 * jax.random.normal(keys[2], logits.shape), action)
    return logits, action, old, jax.random.normal(keys[3], (size,))


def gradient(drift, seed, progress=0.3):
    logits, action, old, advantage = batch(seed)
    return jax.grad(lambda x: drift_loss(x, action, old, advantage, lambda *y: drift(None, *y, progress))[0])(logits)


@pytest.mark.parametrize("seed", range(3))
def test_ppos_drift_is_the_clipped_objective_gradient_for_gradient(seed):
    logits, action, old, advantage = batch(seed)

    def clipped(logits):
        ratio = jnp.exp(log_probability(logits, action) - old)
        return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.8, 1.2) * advantage).mean()

    wanted = jax.grad(clipped)(logits)
    np.testing.assert_allclose(gradient(load("ppo-clip").drift(), seed), wanted, rtol=1e-4, atol=1e-7)


def test_other_closed_forms_are_what_automatic_differentiation_says():
    logits, action, old, advantage = batch(7)

    def dpo(r, a):
        x, y = (r - 1) * a, jnp.log(r) * a
        return jnp.where(a > 0, nn.relu(x - 2 * jnp.tanh(x / 2)), nn.relu(y - 0.6 * jnp.tanh(y / 0.6)))

    def kl(r, a):
        return 3 * (r - 1 - jnp.log(r))

    for name, drift in (("dpo", dpo), ("ppo-kl", kl), ("a2c", lambda r, a: 0 * r)):

        def objective(logits, drift=drift):
            ratio = jnp.exp(log_probability(logits, action) - old)
            return -(ratio * advantage - drift(ratio, advantage)).mean()

        np.testing.assert_allclose(
            gradient(load(name).drift(), 7), jax.grad(objective)(logits), rtol=1e-3, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("timed", [False, True])
def test_a_learned_drift_is_a_drift(timed):
    arrays = Shapes.drift(timed=timed).draw(0, 1.0)
    advantage = jnp.linspace(-2, 2, 9)
    for progress in (0.0, 0.7):
        at_one = functools.partial(learned_drift, arrays, jnp.ones(9), jnp.zeros(9), advantage, progress)
        assert not np.any(at_one())
        slope = drift_slope(lambda *x: learned_drift(arrays, *x, progress), jnp.zeros(9), advantage)
        assert not np.any(slope)
    ratio = jnp.exp(jax.random.normal(jax.random.key(0), (500,)))
    values = learned_drift(arrays, ratio, jnp.log(ratio), jax.random.normal(jax.random.key(1), (500,)), 0.5)
    assert (values >= 0).all()
    assert (values > 0).any()


def test_only_ta_lpo_reads_the_time_and_a_zero_net_is_ppo():
    ratio, advantage = jnp.array([0.5, 1.5, 1.9]), jnp.array([-1.0, 1.0, 1.0])
    for timed in (False, True):
        arrays = Shapes.drift(timed=timed).draw(1, 1.0)
        early, late = (learned_drift(arrays, ratio, jnp.log(ratio), advantage, p) for p in (0.1, 0.9))
        assert np.allclose(early, late) != timed
        arrays["output"] *= 0
        found = learned_drift(arrays, ratio, jnp.log(ratio), advantage, 0.5)
        wanted = nn.relu((ratio - 1 - jnp.clip(ratio - 1, -0.2, 0.2)) * advantage) - 1e-4
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def lpg_inputs(seed, time=6, workers=3, classes=8):
    rng = np.random.default_rng(seed)
    y = jax.nn.softmax(jnp.asarray(rng.normal(size=(time, workers, classes)), jnp.float32))
    y_last = jax.nn.softmax(jnp.asarray(rng.normal(size=(workers, classes)), jnp.float32))
    reward = jnp.asarray(rng.normal(size=(time, workers)), jnp.float32)
    done = jnp.asarray(rng.random((time, workers)) < 0.3)
    return reward, done, 0.99, jnp.asarray(rng.random((time, workers)), jnp.float32), y, y_last


@pytest.mark.parametrize(("timed", "masked"), [(False, False), (True, True)])
def test_lpgs_net_is_a_gru_run_backwards_that_forgets_at_ends(timed, masked):
    arrays = Shapes.lpg(timed=timed, hidden=16).draw(0, 1.0)
    reward, done, gamma, probability, y, y_last = lpg_inputs(0)
    more, target = lpg_targets(arrays, reward, done, gamma, probability, y, y_last, 0.25, 40.0, masked)
    cell, size = nn.GRUCell(16), 16
    gates = dict(zip("rzn", range(3), strict=True))
    cut = {g: slice(i * size, (i + 1) * size) for g, i in gates.items()}
    params = {f"i{g}": {"kernel": arrays["input"][:, cut[g]], "bias": arrays["input_bias"][cut[g]]} for g in gates}
    params |= {f"h{g}": {"kernel": arrays["hidden"][:, cut[g]]} for g in gates}
    params["hn"]["bias"] = arrays["hidden_bias"]
    embed = lambda y: nn.relu(y @ arrays["embed"] + arrays["embed_bias"])  # noqa: E731
    h = jnp.zeros((3, size))
    for t in reversed(range(6)):
        after = y[t + 1] if t < 5 else y_last
        columns = [reward[t], done[t] * 1.0, jnp.full(3, gamma), probability[t]]
        columns += [jnp.full(3, 0.25), jnp.full(3, jnp.log(40.0))] if timed else []
        later = jnp.where(done[t][:, None] & masked, 0.0, embed(after))
        x = jnp.concatenate([jnp.stack(columns, -1), embed(y[t]), later], -1)
        h = jnp.where(done[t][:, None], 0.0, h)
        h, out = cell.apply({"params": params}, h, x)
        np.testing.assert_allclose(more[t], (out @ arrays["action"])[:, 0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(target[t], jax.nn.softmax(out @ arrays["prediction"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("timed", [False, True])
def test_the_written_gradient_of_lpgs_net_is_the_automatic_one(timed):
    arrays = Shapes.lpg(timed=timed, hidden=16).draw(0, 1.0)
    arrays = {name: jnp.stack([x, 0.5 * x]) for name, x in arrays.items()}
    inputs = [lpg_inputs(seed) for seed in range(2)]
    reward, done, _, probability, y, y_last = (jnp.stack(x) for x in zip(*inputs, strict=True))

    def worth(states, arrays, reward, done, probability, y, y_last):
        more, target = lpg_targets(
            arrays, reward, done, 0.99, probability, y, y_last, 0.25, 40.0, masked=True, recurrence=states
        )
        return jnp.sum(jnp.sin(more)) + jnp.sum(target**3)

    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda x: x if x.dtype == bool else jnp.asarray(np.asarray(x), jnp.float64),
            (arrays, reward, done, probability, y, y_last),
        )
        found, wanted = (
            jax.vmap(jax.grad(functools.partial(worth, states), argnums=(0, 3, 4, 5)))(*wide)
            for states in (gru_gradient.differentiable_gru_states, lpg.gru_states)
        )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_lpgs_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    policy, y = (jnp.asarray(rng.normal(size=(10, n)), jnp.float32) for n in (4, 8))
    action, more = jnp.asarray(rng.integers(0, 4, 10)), jnp.asarray(rng.normal(size=10), jnp.float32)
    target = jax.nn.softmax(jnp.asarray(rng.normal(size=(10, 8)), jnp.float32))
    with jax.enable_x64(True):
        wide = [
            jnp.asarray(np.asarray(x), x.dtype if x.dtype == jnp.int32 else jnp.float64) for x in (action, more, target)
        ]
        loss = lambda p, y: lpg_loss(p, y, *wide)  # noqa: E731
        point = jnp.asarray(np.asarray(policy), jnp.float64), jnp.asarray(np.asarray(y), jnp.float64)
        gradients = jax.grad(loss, (0, 1))(*point)
        for which, shape in ((0, (10, 4)), (1, (10, 8))):
            for place in [(0, 1), (5, 3), (9, 0)]:
                step = jnp.zeros(shape).at[place].set(1e-6)
                ends = [loss(*(p + s * step if i == which else p for i, p in enumerate(point))) for s in (1, -1)]
                assert float(gradients[which][place]) == pytest.approx(float(ends[0] - ends[1]) / 2e-6, abs=1e-7)


def test_lpgs_meta_gradient_is_that_of_finite_differences():
    env = make("grid/sparse")
    learner = LpgLearner(env, LpgSettings(workers=4, steps=5))
    agent = learner.init(jax.random.key(0))
    from rulesmith.envs.rollout import rollout, start
    from rulesmith.meta.lifetime import Clock

    workers, seen, _ = rollout(
        env, env.params, learner.policy(agent), start(env, env.params, jax.random.key(1), 4), jax.random.key(2), 5
    )
    arrays = {k: jnp.asarray(v) for k, v in Shapes.lpg(timed=True, hidden=8).draw(0, 1.0).items()}

    @jax.jit
    def probability_after(arrays):
        clock = Clock(jnp.int32(1), jnp.int32(5))
        after, *_ = learner.learn(agent, arrays, 20.0, seen, workers.observation, clock)
        policy, y = learner.outputs(after.params, seen.observation.reshape(-1))
        return log_probability(policy, seen.extra.reshape(-1)).mean() + jax.nn.softmax(y)[:, 0].mean()

    gradients = jax.jit(jax.grad(probability_after))(arrays)
    for name, place in [("action", (3, 0)), ("prediction", (2, 1)), ("hidden", (1, 5)), ("input", (0, 2))]:
        step = jnp.zeros_like(arrays[name]).at[place].set(3e-2)
        ends = [float(probability_after({**arrays, name: arrays[name] + s * step})) for s in (1, -1)]
        wanted = (ends[0] - ends[1]) / 6e-2
        assert float(gradients[name][place]) == pytest.approx(wanted, rel=0.05, abs=2e-5)


def test_tables_of_y_start_scattered_where_a_rule_says_so():
    env = make("grid/sparse")
    for start in (0.0, 1.0, 2.0):
        tables = LpgLearner(env, LpgSettings(prediction_start=start)).init(jax.random.key(0)).params["params"]
        assert not np.any(tables["policy"]["embedding"])
        found = np.asarray(tables["y"]["embedding"])
        assert found.std() * np.sqrt(len(found)) == pytest.approx(start, rel=0.05)


def test_a_bound_clips_each_input_of_a_learned_drift():
    arrays = Shapes.drift(timed=True).draw(0, 1.0)
    ratio, advantage = jnp.array([0.2, 1.1, 9.0]), jnp.array([-3.0, 0.5, 4.0])
    four = np.stack([ratio - 1, (ratio - 1) ** 2, np.log(ratio), np.log(ratio) ** 2], -1)
    x = np.clip(np.concatenate([four, four * np.asarray(advantage)[:, None]], -1), -2, 2)
    out = (np.tanh(np.concatenate([x, 0.3 * x], -1) @ arrays["hidden"]) @ arrays["output"])[:, 0]
    ppo = np.maximum((ratio - 1 - np.clip(ratio - 1, -0.2, 0.2)) * advantage, 0)
    found = learned_drift(arrays, ratio, jnp.log(ratio), advantage, 0.3, 2.0)
    np.testing.assert_allclose(found, np.maximum(out + ppo - 1e-4, 0), rtol=1e-4, atol=1e-5)
    assert not np.allclose(found, learned_drift(arrays, ratio, jnp.log(ratio), advantage, 0.3))


def test_shaped_ppo_is_ppo_at_its_defaults():
    ppo = gradient(load("ppo-clip").drift(), 3)
    np.testing.assert_allclose(gradient(load("shaped-ppo").drift(), 3), ppo, rtol=1e-4, atol=1e-7)
    for name in ("up", "up_later", "down", "down_later", "slope", "slope_later", "kl", "kl_later"):
        assert not np.allclose(gradient(load("shaped-ppo").drift(**{name: 3.0}), 3), ppo, atol=1e-4), name


def test_policies():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    logs = jax.nn.log_softmax(logits)
    action = jnp.array([0, 2, 1, 1, 0])
    np.testing.assert_allclose(log_probability(logits, action), logs[jnp.arange(5), action], rtol=1e-6)
    np.testing.assert_allclose(entropy(logits), -(jnp.exp(logs) * logs).sum(-1), rtol=1e-6)
    normal = (jnp.zeros((5, 2)) + 0.3, jnp.full((5, 2), -0.5))
    x = jnp.ones((5, 2)) * 0.1
    density = jax.scipy.stats.norm.logpdf(x, 0.3, jnp.exp(-0.5)).sum(-1)
    np.testing.assert_allclose(log_probability(normal, x), density, rtol=1e-5)
    np.testing.assert_allclose(entropy(normal), 2 * (0.5 * np.log(2 * np.pi * np.e) - 0.5), rtol=1e-5)


def test_moments_are_those_of_all_that_was_seen():
    rng = np.random.default_rng(0)
    parts = [3 + 2 * rng.normal(size=(n, 4, 2)) for n in (5, 1, 30)]
    moments = Moments.of((2,))
    for part in parts:
        moments = moments.updated(jnp.asarray(part, jnp.float32))
    rows = np.concatenate(parts).reshape(-1, 2)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-3)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-3)
    sums, last = discounted(jnp.array([[1.0], [2.0], [4.0]]), jnp.array([[False], [True], [False]]), jnp.ones(1), 0.5)
    np.testing.assert_allclose(sums[:, 0], [1.5, 2.75, 4.0])
    np.testing.assert_allclose(last, [4.0])


def lifetime(name, objective, agent, hyper):
    env = make(name)
    learner = learner_for(env, objective, agent)
    arrays = {k: jnp.asarray(v) for k, v in objective.arrays.items()}
    return jax.jit(lambda updates, key: live(learner, arrays, hyper, env.params, updates, key, 16))


def test_the_horizon_is_data_and_curves_cover_the_lifetime():
    run = lifetime("Catch-bsuite", load("ppo-clip"), SMALL, Hyper(0.01, 0.01))
    short, long = run(20, jax.random.key(0)), run(200, jax.random.key(0))
    assert run._cache_size() == 1
    assert np.isfinite(long.returns).all()
    assert np.isfinite(short.figures["entropy"]).all()
    assert float(long.final) > 0.5 > float(short.returns[0])
    assert float(long.figures["entropy"][-1]) < float(long.figures["entropy"][0])


def test_a_lifetime_without_updates_is_the_newborns_return():
    run = lifetime("Catch-bsuite", load("ppo-clip"), SMALL, Hyper(0.01, 0.01))
    assert float(run(0, jax.random.key(1)).final) < 0.3


@pytest.mark.parametrize("name", ["ppo-clip", "ppo-kl", "dpo", "a2c", "reinforce", "shaped-ppo"])
def test_every_published_objective_trains_an_agent(name):
    rule = load(name)
    agent = {k: v for k, v in SMALL.items() if k not in rule.agent} | dict(rule.agent)
    run = lifetime("Catch-bsuite", rule, agent, Hyper(0.02, 0.01))
    assert float(np.mean([run(300, jax.random.key(s)).final for s in range(2)])) > 0.3


def test_continuous_actions_and_normalization_train_too():
    run = lifetime("Pendulum-v1", load("ppo-clip"), {**SMALL, "steps": 64}, Hyper(3e-3, 0.0))
    assert np.isfinite(run(5, jax.random.key(0)).final)


def test_an_agent_that_diverges_is_worth_nan():
    broken = Objective("broken", "drift", program=Program.parse("def drift(r):\n return r / 0"))
    run = lifetime("Catch-bsuite", broken, SMALL, Hyper(0.01, 0.01))
    assert np.isnan(run(3, jax.random.key(0)).final)


@pytest.mark.slow
def test_ppo_reaches_known_returns():
    env = make("CartPole-v1")
    learner = DriftLearner(env, load("ppo-clip").drift(), DriftSettings())
    run = jax.jit(lambda key: live(learner, (), Hyper(1e-3, 0.01), env.params, 61, key, 64))
    finals = [float(run(jax.random.key(seed)).final) for seed in range(10)]  # 499,712 steps
    assert np.mean(finals) >= 475
