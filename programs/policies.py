"""What an agent's policy says of actions, in JAX. Its source is part of every exported objective (see `exporting`).

A policy is the logits of a categorical distribution, ``(..., actions)``, or for continuous actions the pair (means,
logarithms of the standard deviations) of independent normal ones, each ``(..., size)``.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def log_probability(policy, action):
    """Logarithm of the probability (density) of actions, (...); -inf of an action whose logit is -inf."""
    if isinstance(policy, tuple):
        mean, log_std = map(widened, policy)
        z = (action - mean) / jnp.exp(log_std)
        return jnp.sum(-0.5 * z * z - log_std - 0.9189385332046727, axis=-1)
    # A sum over actions: its gradient needs no scatter.
    chosen = jax.nn.one_hot(action, policy.shape[-1], dtype=bool)
    return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(widened(policy)), 0.0), axis=-1)


def entropy(policy):
    """Entropy in nats, (...); actions whose logit is -inf have no share in it."""
    if isinstance(policy, tuple):
        mean, log_std = map(widened, policy)
        return jnp.sum(jnp.broadcast_to(log_std + 1.4189385332046727, mean.shape), axis=-1)
    logs = jax.nn.log_softmax(widened(policy))
    return -jnp.sum(jnp.exp(logs) * jnp.where(logs > -jnp.inf, logs, 0.0), axis=-1)


def widened(x):
    """Return an array in float32, or as it is if it is wider."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def log_ratio_of(log_new, log_old, policy):
    """Logarithm of the ratio of two probabilities, without a gradient, cut so that no power of the ratio overflows.

    It is cut at a third of the logarithm of the largest number of the policy's type: at +-29.6 in float32 and bfloat16,
    at +-3.7 in float16. An action that the new policy forbids is at the lower end.
    """
    dtype = policy[0].dtype if isinstance(policy, tuple) else policy.dtype
    most = math.log(float(jnp.finfo(dtype).max)) / 3
    difference = jnp.where(log_new > -jnp.inf, log_new - widened(log_old), -most)
    return jax.lax.stop_gradient(jnp.clip(difference, -most, most))
