"""Which lifetimes a generation is judged by: environments, horizons drawn log-uniformly, levels and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int32

from ...envs.environment import Environment
from ...meta.drawn_levels import draw_levels


class Lifetimes(NamedTuple):
    """Lifetimes in one environment, ``(groups, each, ...)``: those of a group are for the same candidates.

    Attributes:
        updates: lengths.
        keys: keys of the lifetimes; candidates of a group share them (common random numbers).
        params: the environment's parameters, drawn where it is a distribution of levels.
    """

    updates: Int32[np.ndarray, "groups each"]
    keys: Any
    params: Any


@dataclass(frozen=True)
class UniformLifetimes:
    """A curriculum of the engine without a state.

    Attributes:
        environments: each gets `each` lifetimes a group.
        horizons: shortest and longest lifetime, in updates, by environment.
        groups: number of groups of candidates: 1 if all share their lifetimes, else one for each antithetic pair.
        each: lifetimes of a candidate in an environment.
    """

    environments: tuple[Environment, ...]
    horizons: tuple[tuple[int, int], ...]
    groups: int
    each: int

    def init(self, key: Any) -> tuple[()]:
        """Return the state: none."""
        return ()

    def sample(self, state: tuple[()], key: Any) -> list[Lifetimes]:
        """Return a generation's lifetimes, by environment."""
        return [
            draw_lifetimes(env, bounds, (self.groups, self.each), jax.random.fold_in(key, i))
            for i, (env, bounds) in enumerate(zip(self.environments, self.horizons, strict=True))
        ]

    def update(self, state: tuple[()], tasks: Sequence[Lifetimes], scores: Float[np.ndarray, ...]) -> tuple[()]:
        """Return the state: none."""
        return ()


def lengths(uniform: Any, bounds: tuple[int, int]) -> Int32[np.ndarray, ...]:
    """Return lengths of lives, log-uniform between the bounds, both included, from draws uniform in [0, 1)."""
    low, high = np.log(bounds[0]), np.log(bounds[1] + 1)
    return np.clip(np.exp(uniform * (high - low) + low).astype(np.int32), *bounds)


def draw_lifetimes(env: Environment, bounds: tuple[int, int], shape: tuple[int, int], key: Any) -> Lifetimes:
    """Return random lifetimes of an environment: lengths log-uniform between the bounds, both included."""
    length, level, seed = jax.random.split(key, 3)
    updates = lengths(np.asarray(jax.random.uniform(length, shape)), bounds)
    count = shape[0] * shape[1]
    keys = jax.random.split(seed, count).reshape(shape)
    return Lifetimes(updates, keys, draw_levels(env, shape, level))
