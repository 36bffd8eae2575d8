"""Levels kept out of a search, and what agents that a rule has trained reach there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...envs.environment import Discrete, Environment

HELD_OUT_KEY = 20_000
"""Seed of the key with which held-out levels are drawn; no search uses it."""


def is_tabular(env: Environment) -> bool:
    """Return whether levels' objects have fixed places."""
    return isinstance(env.observations, Discrete)


class HeldOut:
    """Levels that the search never sees, and what agents that a rule has trained reach there.

    Args:
        env: the environment.
        population: the `Population` of agents that the rule trains.
        hyper: the agents' hyperparameters.
        updates: length of the agents' lives.
        count: number of levels.
    """

    def __init__(self, env: Environment, population: Any, hyper: Any, updates: int, count: int) -> None:
        import jax

        from ...meta.drawn_levels import draw_levels

        self._population, self._hyper = population, hyper
        self.updates = np.full(count, updates, np.int32)
        level, self._keys = jax.random.split(jax.random.key(HELD_OUT_KEY))
        self.levels = jax.tree.map(np.asarray, draw_levels(env, (count,), level))
        possible = np.nan
        if is_tabular(env):
            from ...envs.gridworld.dynamics import moves_of
            from ...envs.gridworld.optimal import optimal_of_many

            possible = float(optimal_of_many(self.levels, moves_of(env)).sum())
        self._possible = possible
        self.unit = "share of the optimal return" if np.isfinite(possible) else "mean return"

    def share(self, returns: Any) -> float:
        """Return agents' summed returns as a share of the sum of the optimal ones; their mean where none is known."""
        found = np.nan_to_num(np.asarray(returns, float))
        return float(found.sum() / self._possible) if np.isfinite(self._possible) else float(found.mean())

    def __call__(self, candidates: Any, lived: bool = True) -> float:
        """Return `share` for agents that the first of the candidates trains, or for agents that learn nothing."""
        return self.share(self.returns(candidates, lived))

    def returns(self, candidates: Any, lived: bool = True) -> np.ndarray:
        """Return the mean return on each level, (levels,), of agents that the first of the candidates trains.

        Args:
            candidates: rules' parameters, with an axis of candidates first.
            lived: whether the agents learn; False for agents that learn nothing.
        """
        import jax

        from ...meta.population import Trials, repeated

        count = len(self.updates)
        trials = Trials(
            np.zeros(count, np.int32),
            self.updates if lived else np.zeros(count, np.int32),
            jax.random.split(self._keys, count),
            self.levels,
            repeated(self._hyper, count),
        )
        return np.asarray(self._population(candidates, trials).final)
