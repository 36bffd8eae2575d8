"""Running means and variances of observations and rewards, for environments that need them (brax)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float32


class Moments(NamedTuple):
    """Count, mean and variance of what was seen; entrywise over the last axes."""

    count: Float32[Array, ""]
    mean: Array
    variance: Array

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Moments:
        """Return the moments before anything was seen; they leave values as they are."""
        return cls(jnp.float32(1e-4), jnp.zeros(shape), jnp.ones(shape))

    def updated(self, values: Array) -> Moments:
        """Return the moments with more values, whose leading axes are batches (Chan et al. 1979)."""
        rows = values.reshape((-1, *self.mean.shape))
        count, mean, variance = len(rows), rows.mean(0), rows.var(0)
        total = self.count + count
        shift = mean - self.mean
        spread = self.variance * self.count + variance * count + shift**2 * self.count * count / total
        return Moments(total, self.mean + shift * count / total, spread / total)

    def normalized(self, values: Array) -> Array:
        """Return values with mean 0 and variance 1, cut to [-10, 10]."""
        return jnp.clip((values - self.mean) / jnp.sqrt(self.variance + 1e-8), -10.0, 10.0)


def discounted(rewards: Array, done: Array, before: Array, gamma: Any) -> tuple[Array, Array]:
    """Return running discounted sums of rewards, (time, workers), whose spread scales rewards, and the last row.

    Args:
        rewards: (time, workers).
        done: whether each episode ended with the step.
        before: the sums until now, (workers,).
        gamma: discount.
    """
    import jax

    def step(carry: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, over = row
        total = gamma * carry + reward
        return jnp.where(over, 0.0, total), total

    last, sums = jax.lax.scan(step, before, (rewards, done))
    return sums, last
