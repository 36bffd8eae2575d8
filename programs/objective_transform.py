"""From an objective to an optax transform. Its source is part of every exported objective (see `exporting`)."""

from __future__ import annotations

import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from .drift import drift_loss
from .lpg import lpg_loss, lpg_targets
from .policies import log_probability, widened
from .transform import number


class ObjectiveState(NamedTuple):
    """Gradient steps done."""

    count: jax.Array


def adding(gradient_of, total_updates, steps_per_update):
    """Return the transform that adds ``gradient_of(params, batch, progress, total)`` to the updates it is given.

    Args:
        gradient_of: gradient of the objective, to be descended.
        total_updates: N, updates of the lifetime, each from one rollout.
        steps_per_update: gradient steps that one rollout serves.
    """
    number("total_updates", total_updates, 1)
    number("steps_per_update", steps_per_update, 1)

    def init(params):
        refuse_wrappers()
        return ObjectiveState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, batch, **_):
        if params is None:
            raise ValueError("an objective reads the parameters: call update(updates, state, params, batch=batch)")
        done = jnp.floor(state.count.astype(jnp.float32) / steps_per_update)
        progress = jnp.minimum(done / total_updates, 1.0)
        gradients = gradient_of(params, batch, progress, jnp.float32(total_updates))
        added = jax.tree.map(lambda u, g: u + g.astype(u.dtype), updates, gradients)
        return added, ObjectiveState(jnp.asarray(optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def refuse_wrappers():
    """Raise ValueError inside a transform that looks at gradients before the objective has added its own.

    Such transforms would not see the objective's gradient: they would drop all but the last of accumulated batches, and
    let its NaNs pass.
    """
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_qualname.split(".")[0]
        guards = name in ("MultiSteps", "apply_if_finite", "conditionally_transform", "conditionally_mask")
        if guards and frame.f_globals.get("__name__", "").startswith("optax"):
            raise ValueError(
                f"optax.{name} around an objective does not see the objective's gradient: put it behind, as in "
                f"optax.chain(objective, optax.{name}(optimizer, ...)); steps_per_update then counts every batch"
            )
        frame = frame.f_back


def check_fields(batch, shape, fields):
    """Raise ValueError unless the fields of a batch are there and begin with the right axes.

    Args:
        batch: arrays (of `observation` and `last_observation`: trees of arrays) by name.
        shape: of the field that counts samples, and its name.
        fields: for each field the axes that it must begin with, and how many more it may have.
    """
    size, of = shape
    for name, (axes, more) in fields.items():
        for leaf in jax.tree.leaves(batch[name]):
            own = jnp.shape(leaf)
            if own[: len(axes)] != axes or len(own) > len(axes) + more:
                raise ValueError(f"batch: {name} has shape {own}, which does not fit the shape {size} of {of}")


def check_batch(batch, names):
    """Raise ValueError unless a batch has all fields."""
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(f"batch: {', '.join(missing)} missing; an objective reads {', '.join(names)}")


def check_policy(policy, action, shape):
    """Raise ValueError unless a policy and actions fit each other, and samples of the given shape."""
    mean = policy[0] if isinstance(policy, tuple) else policy
    if mean.shape[:-1] != shape:
        raise ValueError(f"the policy has shape {mean.shape}, which does not fit samples of shape {shape}")
    wanted = mean.shape if isinstance(policy, tuple) else shape
    if jnp.shape(action) != wanted:
        raise ValueError(f"batch: action has shape {jnp.shape(action)}; with this policy it must be {wanted}")
    if not isinstance(policy, tuple) and not jnp.issubdtype(jnp.asarray(action).dtype, jnp.integer):
        raise ValueError("batch: action is not of an integer type; with a policy of logits it holds numbers of actions")


def drift_gradient(drift, apply):
    """Return the gradient of a policy's loss under a drift, as `adding` takes it.

    Args:
        drift: function of (ratio, log ratio, advantage, progress).
        apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    """

    def gradient_of(params, batch, progress, total):
        check_batch(batch, ("observation", "action", "log_probability", "advantage"))
        old, advantage = map(jnp.asarray, (batch["log_probability"], batch["advantage"]))
        shape = advantage.shape
        fields = {"log_probability": (shape, 0), "observation": (shape, 99)}
        check_fields(batch, (shape, "advantage"), fields)

        def loss(params):
            policy = apply(params, batch["observation"])
            check_policy(policy, batch["action"], shape)
            return drift_loss(policy, batch["action"], old, advantage, lambda *x: drift(*x, progress))[0]

        return jax.grad(loss)(params)

    return gradient_of


def lpg_gradient(parameters, apply, gamma, prediction_weight, masked=False):
    """Return the gradient that LPG's targets ask for, as `adding` takes it.

    Args:
        parameters: of the net, see `lpg_targets`.
        apply: function of (params, observations) to (the policy, logits of y).
        gamma: discount.
        prediction_weight: alpha_y.
        masked: see `lpg_targets`.
    """
    number("gamma", gamma, 0.0, 1.0 + 1e-9)
    number("prediction_weight", prediction_weight, 0.0)

    def gradient_of(params, batch, progress, total):
        check_batch(batch, ("observation", "action", "reward", "done", "last_observation"))
        shape = jnp.shape(batch["reward"])
        if len(shape) != 2:
            raise ValueError(f"batch: reward has shape {shape}; it must be (workers, time)")
        fields = {"done": (shape, 0), "observation": (shape, 99), "last_observation": (shape[:1], 99)}
        check_fields(batch, (shape, "reward"), fields)
        early = lambda x: jnp.swapaxes(x, 0, 1)  # noqa: E731  (workers, time) to (time, workers)
        flat = lambda x: x.reshape((-1, *x.shape[2:]))  # noqa: E731
        observation = jax.tree.map(lambda x: flat(early(x)), batch["observation"])
        action = flat(early(batch["action"]))
        reward, done = early(batch["reward"]).astype(jnp.float32), early(batch["done"])
        policy, logits = apply(params, observation)
        check_policy(policy, action, (reward.size,))
        probability = jnp.exp(log_probability(policy, action)).reshape(reward.shape)
        y = jax.nn.softmax(widened(logits)).reshape((*reward.shape, -1))
        y_last = jax.nn.softmax(widened(apply(params, batch["last_observation"])[1]))
        wanted = lpg_targets(parameters, reward, done, gamma, probability, y, y_last, progress, total, masked)
        more, target = map(flat, wanted)

        def loss(params):
            policy, logits = apply(params, observation)
            return lpg_loss(policy, logits, action, more, target, prediction_weight)

        return jax.grad(loss)(params)

    return gradient_of
