"""Agents' hyperparameters that are drawn anew for each life, so that a rule does not suit one value only."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

_KEY = 7
"""Folded into a life's key to draw its hyperparameters."""


class HyperRange(NamedTuple):
    """Least and greatest hyperparameters of agents, two pytrees of the same structure, as their learner takes them."""

    low: Any
    high: Any

    def middle(self) -> Any:
        """Return the geometric means: what agents get where nothing is drawn."""
        return jax.tree.map(lambda low, high: float(np.sqrt(low * high)), self.low, self.high)

    def draw(self, keys: Any) -> Any:
        """Return hyperparameters for lives by their keys, ``(lives,)``: log-uniform, leaf by leaf."""
        leaves, shape = jax.tree.flatten(self.low)
        bounds = zip(leaves, jax.tree.leaves(self.high), strict=True)
        drawn = [
            np.asarray(jax.vmap(lambda key, i=i, low=low, high=high: _drawn(key, i, low, high))(keys))
            for i, (low, high) in enumerate(bounds)
        ]
        return shape.unflatten(drawn)


def _drawn(key: Any, leaf: int, low: float, high: float) -> Array:
    return log_uniform(jax.random.fold_in(jax.random.fold_in(key, _KEY), leaf), low, high)


def log_uniform(key: Any, low: float, high: float) -> Float32[Array, ""]:
    """Return a number drawn log-uniformly between two bounds; just the bound where both are equal, 0 among them."""
    if low == high:
        return jnp.float32(low)
    return jnp.exp(jax.random.uniform(key, (), minval=np.log(low), maxval=np.log(high)))
