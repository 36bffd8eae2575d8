"""A curriculum for agents that live on: whenever a life is over, the next begins on a newly drawn level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool

from ...envs.environment import Environment
from .level_buffer import Given
from .lifetimes import draw_lifetimes
from .scores import Lives


@dataclass(frozen=True)
class RenewedLifetimes:
    """A curriculum of the engine; its state is which slots are vacant.

    Attributes:
        environment: the environment of all agents.
        updates: shortest and longest life.
        slots: agents at once.
    """

    environment: Environment
    updates: tuple[int, int]
    slots: int

    def init(self, key: Any) -> Bool[np.ndarray, " slots"]:
        """Return the state: all are vacant."""
        return np.ones(self.slots, bool)

    def sample(self, state: Bool[np.ndarray, " slots"], key: Any) -> Given:
        """Return lifetimes for all slots; only those of vacant slots are used."""
        drawn = draw_lifetimes(self.environment, self.updates, (1, self.slots), key)
        level = jax.tree.map(lambda x: x[0], drawn.params)
        unknown = np.full(self.slots, np.nan, np.float32)
        marks = np.zeros((self.slots, 2), np.uint32)
        return Given(state, np.arange(self.slots), state, level, marks, drawn.updates[0], unknown, 0)

    def update(self, state: Bool[np.ndarray, " slots"], tasks: Given, scores: Lives) -> Bool[np.ndarray, " slots"]:
        """Return which lives are over."""
        return scores.over
