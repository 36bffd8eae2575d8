"""Generalized advantage estimation (Schulman et al. 2016)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from ..envs.rollout import Trajectory


def generalized_advantages(
    trajectory: Trajectory,
    values: Float32[Array, "time workers"],
    last: Float32[Array, " workers"],
    gamma: Any,
    decay: Any,
) -> Float32[Array, "time workers"]:
    """Return advantages: sums of temporal differences, discounted by ``gamma * decay``, up to each episode's end.

    A terminated episode is worth nothing after its end; a truncated one what `trajectory.bootstrap` says.

    Args:
        trajectory: what a rollout saw.
        values: values of the rollout's observations.
        last: values of the observations after the rollout.
        gamma: discount.
        decay: the estimator's lambda.
    """
    after = jnp.concatenate([values[1:], last[None]])
    after = jnp.where(trajectory.done, trajectory.bootstrap, after)
    differences = trajectory.reward + gamma * after - values
    kept = gamma * decay * (1.0 - trajectory.done)

    def step(carry: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        difference, keep = row
        carry = difference + keep * carry
        return carry, carry

    return jax.lax.scan(step, jnp.zeros_like(last), (differences, kept), reverse=True)[1]
