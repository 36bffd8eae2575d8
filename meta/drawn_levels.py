"""The levels that lives are lived on: an environment's only one, or as many as are drawn from its distribution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..envs.environment import Environment


@functools.cache
def _drawing(env: Environment) -> Callable[[Any], Any]:
    """Return the function of keys to levels, compiled."""
    assert env.draw is not None
    return jax.jit(jax.vmap(env.draw))


def draw_levels(env: Environment, shape: tuple[int, ...], key: Any) -> Any:
    """Return parameters of an environment for lives of that shape, a pytree of arrays ``(*shape, ...)``.

    Args:
        env: its own parameters are repeated if it is no distribution of levels.
        shape: of the lives.
        key: consumed where levels are drawn.
    """
    if env.draw is None:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), env.params)
    drawn = _drawing(env)(jax.random.split(key, math.prod(shape)))
    return jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), drawn)
