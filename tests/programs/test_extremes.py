"""Numbers that must not become NaN: every published rule and objective, in every type of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rulesmith import load
from rulesmith.programs.rule_file import published, published_objectives

TYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
SHAPES = {
    "matrix": (3, 2),
    "row": (1, 4),
    "column": (4, 1),
    "vector": (5,),
    "scalar": (),
    "empty": (0, 3),
    "none": (0,),
}


def extremes(dtype):
    """Sizes of gradients: zero, below any square's range, and near the end of the type's own."""
    largest = {jnp.float32: 1e30, jnp.bfloat16: 1e30, jnp.float16: 6e4}[dtype]
    return jnp.array([0.0, 1e-30 if dtype != jnp.float16 else 6e-8, 1.0, largest], dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
@pytest.mark.parametrize("name", published())
def test_a_rule_takes_finite_steps_on_gradients_of_any_size(name, dtype):
    rng = np.random.default_rng(0)
    weights = {key: jnp.asarray(rng.normal(size=shape), dtype) for key, shape in SHAPES.items()}
    direction = {key: jnp.asarray(rng.choice([-1.0, 0.5, 0.0], size=shape), dtype) for key, shape in SHAPES.items()}
    tx = load(name).to_optax(1e-3, total_steps=9)

    def updates(size):
        def step(carry, _):
            now, state = carry
            gradients = jax.tree.map(lambda d: d * size, direction)
            update, state = tx.update(gradients, state, now)
            return (optax.apply_updates(now, update), state), update

        return jax.lax.scan(step, (weights, tx.init(weights)), length=3)[1]

    found = jax.jit(jax.vmap(updates))(extremes(dtype))
    for key, update in found.items():
        assert update.dtype == dtype
        assert np.isfinite(np.asarray(update, np.float64)).all(), (key, update)
    still = jax.tree.map(lambda u: u[0], found)  # without a gradient, nothing but the decay of weights moves
    assert all(np.all(np.abs(np.asarray(u, float)) < 1e-2) for u in jax.tree.leaves(still))


def batch_of(objective, dtype, rng):
    """Return what an objective learns from, with ratios far outside a type's range."""
    observations = jnp.asarray(rng.normal(size=(12, 3)), dtype)
    if objective.kind == "lpg":
        return {
            "observation": observations.reshape(3, 4, 3),
            "action": jnp.asarray(rng.integers(0, 2, (3, 4))),
            "reward": jnp.asarray(rng.choice([0.0, 1e-30, 10.0, -10.0], size=(3, 4)), jnp.float32),
            "done": jnp.zeros((3, 4), bool).at[0, 3].set(True),
            "last_observation": observations[:3],
        }
    return {
        "observation": observations,
        "action": jnp.asarray(rng.integers(0, 2, 12)),
        "log_probability": jnp.asarray([0.0, -1e4, 1e4, -1e30, 1e30, -1.0] * 2, jnp.float32),
        "advantage": jnp.asarray([0.0, 1e-30, 1.0] * 2 + [-1.0, 10.0, -10.0] * 2, jnp.float32),
    }


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
@pytest.mark.parametrize("forbids", [False, True], ids=["all allowed", "one forbidden"])
@pytest.mark.parametrize("name", published_objectives())
def test_an_objective_gives_finite_gradients_whatever_the_ratios_and_forbidden_actions(name, forbids, dtype):
    objective, rng = load(name), np.random.default_rng(0)
    params = {"policy": jnp.asarray(rng.normal(size=(3, 4)), dtype)}
    allowed = jnp.array([True, True, not forbids, not forbids])

    def policy(params, observations):
        return jnp.where(allowed, observations.astype(dtype) @ params["policy"], -jnp.inf)

    if objective.kind == "lpg":
        params["y"] = jnp.asarray(rng.normal(size=(3, 8)), dtype)
        tx = objective.to_optax(lambda p, o: (policy(p, o), o.astype(dtype) @ p["y"]), total_updates=10)
    else:
        tx = objective.to_optax(policy, total_updates=10)
    zeros = jax.tree.map(jnp.zeros_like, params)
    found, _ = jax.jit(tx.update)(zeros, tx.init(params), params, batch=batch_of(objective, dtype, rng))
    for key, gradient in found.items():
        assert gradient.dtype == dtype
        assert np.isfinite(np.asarray(gradient, np.float64)).all(), (key, gradient)
    if forbids:
        assert not np.any(np.asarray(found["policy"], float)[:, 2:])


def test_the_gradient_of_a_policy_that_forbids_is_that_of_the_allowed_actions():
    objective, rng = load("ppo-clip"), np.random.default_rng(1)
    observations = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    batch = {
        "observation": observations,
        "action": jnp.asarray(rng.integers(0, 3, 8)),
        "log_probability": jnp.full(8, -1.1),
        "advantage": jnp.asarray(rng.normal(size=8), jnp.float32),
    }

    def gradient(policy):
        tx = objective.to_optax(policy, total_updates=10)
        return tx.update(jnp.zeros_like(weights), tx.init(weights), weights, batch=batch)[0]

    masked = gradient(lambda w, o: (o @ w).at[:, 3].set(-jnp.inf))
    fewer = gradient(lambda w, o: (o @ w)[:, :3])
    np.testing.assert_allclose(masked, fewer, rtol=1e-5, atol=1e-7)
