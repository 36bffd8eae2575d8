"""What an agent's policy says of actions, in JAX. Its source is part of every exported objective (see `exporting`).

A policy is the logits of a categorical distribution, ``(..., actions)``, or for continuous actions the pair (means,
logarithms of the standard deviations) of independent normal ones, each ``(..., size)``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def log_probability(policy, action):
    """Logarithm of the probability (density) of actions, (...)."""
    if isinstance(policy, tuple):
        mean, log_std = policy
        z = (action - mean) / jnp.exp(log_std)
        return jnp.sum(-0.5 * z * z - log_std - 0.9189385332046727, axis=-1)
    # A product with one-hot vectors: its gradient needs no scatter.
    return jnp.sum(jax.nn.log_softmax(policy) * jax.nn.one_hot(action, policy.shape[-1]), axis=-1)


def entropy(policy):
    """Entropy in nats, (...)."""
    if isinstance(policy, tuple):
        mean, log_std = policy
        return jnp.sum(jnp.broadcast_to(log_std + 1.4189385332046727, mean.shape), axis=-1)
    logs = jax.nn.log_softmax(policy)
    return -jnp.sum(jnp.exp(logs) * logs, axis=-1)
