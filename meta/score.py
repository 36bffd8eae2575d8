"""What a program is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """The outcome of trying a program.

    Attributes:
        fitness: mean of the losses relative to tuned AdamW's (see `fitness`), smaller is better; infinite if it failed.
        reason: why it was stopped before all tasks were tried, or "".
        losses: the loss on each task, by name, relative to tuned AdamW's.
        rungs: logarithm of the relative loss as it was known after each rung that was climbed; see `fitness.Rung`.
    """

    fitness: float
    reason: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[float, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all tasks were tried; only such programs enter the hall of fame."""
        return not self.reason and math.isfinite(self.fitness)
