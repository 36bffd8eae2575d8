"""The levels on which agents live: an environment's only level, or levels drawn from its distribution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..envs.environment import Environment
from ..envs.quick_compile import quick_jit


@functools.cache
def _drawing(env: Environment) -> Callable[[Any], Any]:
    """Return the function of keys to levels, compiled."""
    assert env.draw is not None
    return quick_jit(jax.vmap(env.draw))


def draw_levels(env: Environment, shape: tuple[int, ...], key: Any) -> Any:
    """Return levels for an array of lives: parameters of an environment, a pytree of arrays ``(*shape, ...)``.

    Args:
        env: the environment; its default parameters are repeated if it is not a distribution of levels.
        shape: shape of the array of lives.
        key: consumed where levels are drawn.
    """
    if env.draw is None:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), env.params)
    drawn = _drawing(env)(jax.random.split(key, math.prod(shape)))
    return jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), drawn)
