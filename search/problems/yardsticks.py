"""What return is possible on a level: an antagonist's, or the optimal one. Neither depends on the searched rule.

So it is computed once for each level and length of life, when the first life there has ended, and kept with the level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from ...envs.gridworld.dynamics import NINE
from ...programs.objective import Objective

Yardstick = Callable[
    [Any, Int32[np.ndarray, " slots"], Bool[np.ndarray, " slots"], Float32[np.ndarray, " slots"], Any],
    tuple[Float[np.ndarray, " slots"], int],
]
"""Function of (levels, lengths of lives, which of them are wanted, what is known, a key) to what is known then, and
how many environment steps that took."""


class Antagonist:
    """A yardstick: the mean return of agents that another rule has trained on the level, for as long.

    Args:
        population: a `Population` of its agents.
        objective: the rule.
        hyper: the agents' hyperparameters.
        seeds: number of agents over which the mean is taken, so that one lucky agent does not count for long.
        most: the most levels in one call. Fewer are filled up with lives of length -1, which are skipped, so that one
            compiled shape serves every call.
    """

    def __init__(self, population: Any, objective: Objective, hyper: Any, seeds: int, most: int) -> None:
        self._most = most
        arrays = dict(objective.arrays) or {"none": np.zeros(1, np.float32)}
        self._rule = {name: array[None] for name, array in arrays.items()}
        self._population, self._hyper, self._seeds = population, hyper, seeds

    def __call__(
        self, levels: Any, updates: Any, wanted: Bool[np.ndarray, " slots"], known: Any, key: Any
    ) -> tuple[Float[np.ndarray, " slots"], int]:
        """See `Yardstick`. A diverged antagonist leaves NaN."""
        import jax

        from ...meta.population import Trials, repeated

        which = np.flatnonzero(wanted)
        if not len(which):
            return known, 0
        at = np.repeat(np.concatenate([which, np.repeat(which[:1], self._most - len(which))]), self._seeds)
        real = np.arange(len(at)) < len(which) * self._seeds
        trials = Trials(
            np.where(real, 0, -1).astype(np.int32),
            np.where(real, np.asarray(updates)[at], 0).astype(np.int32),
            jax.random.split(key, len(at)),
            jax.tree.map(lambda x: x[at], levels),
            repeated(self._hyper, len(at)),
        )
        final = self._population(self._rule, trials).final.reshape(self._most, self._seeds)
        learner = self._population.learner
        steps = int(np.asarray(updates)[which].sum()) * self._seeds * learner.workers * learner.steps
        found = np.array(known, np.float32)
        found[which] = final[: len(which)].mean(axis=1)
        return found, steps


def optimal_yardstick(
    levels: Any, updates: Any, wanted: Bool[np.ndarray, " slots"], known: Any, key: Any, moves: np.ndarray = NINE
) -> tuple[Float[np.ndarray, " slots"], int]:
    """See `Yardstick`: the exact optimal return of tabular levels of the grid-world, by dynamic programming."""
    import jax

    from ...envs.gridworld.optimal import optimal_of_many

    which = np.flatnonzero(wanted)
    if not len(which):
        return known, 0
    padded = 1 << (len(which) - 1).bit_length()
    at = np.concatenate([which, np.repeat(which[:1], padded - len(which))])
    found = np.array(known, np.float32)
    stacked = jax.tree.map(lambda x: np.asarray(x)[at], levels)
    found[which] = np.asarray(optimal_of_many(stacked, moves))[: len(which)]
    return found, 0
