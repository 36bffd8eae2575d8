"""From an objective to an optax transform. Its source is part of every exported objective (see `exporting`)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from .drift import drift_loss
from .lpg import lpg_loss, lpg_targets
from .policies import log_probability


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

    def init(params):
        return ObjectiveState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, batch, **_):
        if params is None:
            raise ValueError("an objective reads the parameters: call update(updates, state, params, batch=batch)")
        progress = jnp.minimum(state.count // steps_per_update / total_updates, 1.0)
        gradients = gradient_of(params, batch, progress, jnp.float32(total_updates))
        return jax.tree.map(jnp.add, updates, gradients), ObjectiveState(jnp.asarray(optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def drift_gradient(drift, apply):
    """Return the gradient of a policy's loss under a drift, as `adding` takes it.

    Args:
        drift: function of (ratio, log ratio, advantage, progress).
        apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    """

    def gradient_of(params, batch, progress, total):
        def loss(params):
            policy = apply(params, batch["observation"])
            old, advantage = batch["log_probability"], batch["advantage"]
            return drift_loss(policy, batch["action"], old, advantage, lambda *x: drift(*x, progress))[0]

        return jax.grad(loss)(params)

    return gradient_of


def lpg_gradient(parameters, apply, gamma, prediction_weight):
    """Return the gradient that LPG's targets ask for, as `adding` takes it.

    Args:
        parameters: of the net, see `lpg_targets`.
        apply: function of (params, observations) to (the policy, logits of y).
        gamma: discount.
        prediction_weight: alpha_y.
    """

    def gradient_of(params, batch, progress, total):
        early = lambda x: jnp.swapaxes(x, 0, 1)  # noqa: E731  (workers, time) to (time, workers)
        flat = lambda x: x.reshape((-1, *x.shape[2:]))  # noqa: E731
        observation, action = early(batch["observation"]), early(batch["action"])
        reward, done = early(batch["reward"]).astype(jnp.float32), early(batch["done"])
        policy, logits = apply(params, flat(observation))
        probability = jnp.exp(log_probability(policy, flat(action))).reshape(reward.shape)
        y = jax.nn.softmax(logits).reshape((*reward.shape, -1))
        y_last = jax.nn.softmax(apply(params, batch["last_observation"])[1])
        wanted = lpg_targets(parameters, reward, done, gamma, probability, y, y_last, progress, total)
        more, target = map(flat, wanted)

        def loss(params):
            policy, logits = apply(params, flat(observation))
            return lpg_loss(policy, logits, flat(action), more, target, prediction_weight)

        return jax.grad(loss)(params)

    return gradient_of
