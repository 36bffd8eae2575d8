"""Figures of a life that level scores use: small functions of an agent's last rollout, computed inside the jit.

A score of levels names the figures that it needs (`search.curricula.scores`), so a new one brings its own; every life's
figures are then kept with the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float32


class LastRollout(NamedTuple):
    """An agent's last rollout of a meta-step; each field is ``(steps, workers)``.

    Attributes:
        advantages: advantages from generalized advantage estimation with the agent's critic.
        values: the critic's values of the states.
        rewards: the rewards received.
        entropies: entropy of the policy in each state, in nats.
    """

    advantages: Float32[Array, "steps workers"]
    values: Float32[Array, "steps workers"]
    rewards: Float32[Array, "steps workers"]
    entropies: Float32[Array, "steps workers"]


LifeFigure = Callable[[LastRollout], Float32[Array, ""]]


def positive_advantage(last: LastRollout) -> Float32[Array, ""]:
    """Return the mean positive part of the advantages."""
    return jnp.maximum(last.advantages, 0.0).mean()


def advantage_size(last: LastRollout) -> Float32[Array, ""]:
    """Return the mean size of the advantages."""
    return jnp.abs(last.advantages).mean()


def mean_value(last: LastRollout) -> Float32[Array, ""]:
    """Return the mean value that the critic gave to the states."""
    return last.values.mean()
