"""The order of a program's tasks, and the program to keep up with, so that most programs need only a part of the tasks.

The *leader* is the best recent program. A program that falls behind it on the tasks tried so far is stopped, and its
fitness is estimated (see `meta.fitness.Leader`). Tasks are tried cheapest first; but a batch may have a few tasks in
*focus*, which are tried before the others. They are drawn by the rank of their *regret*, the logarithm of the leader's
loss over tuned AdamW's: a curriculum by regret whose antagonist is AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...meta.fitness import Leader
from ...meta.score import Score
from ...programs import RulesmithError
from .scores import rank_weights


@dataclass(frozen=True)
class TaskOrder:
    """A curriculum of the engine; its state is the leader, as plain data.

    Attributes:
        tasks: all of them, cheapest first.
        focus: how many tasks a batch is tried on first, drawn by regret; 0 for no focus.
        slack: see `meta.fitness.Leader`.
        uniform: share of the draw that is the same for all tasks, so that none is forgotten.
        patience: batches without a program as good as the leader after which it is forgotten (the population may have
            been restarted, and the new programs must not be compared with the old ones).

    Raises:
        RulesmithError: there are too few tasks.
    """

    tasks: tuple[str, ...]
    focus: int = 0
    slack: float = 1.005
    uniform: float = 0.2
    patience: int = 10

    def __post_init__(self) -> None:
        if self.focus and not 1 <= self.focus < len(self.tasks):
            raise RulesmithError(
                f"a curriculum of {len(self.tasks)} tasks with {self.focus} in focus: name more --tasks"
            )

    def init(self, key: Any) -> dict[str, Any]:
        """Return the state: nothing is known, so the first programs are tried on all tasks."""
        return {"fitness": None, "losses": {}, "since": 0}

    def probabilities(self, state: dict[str, Any]) -> np.ndarray:
        """Return how likely each task is the first in focus."""
        regrets = np.log([state["losses"][name] for name in self.tasks])
        weights = rank_weights(regrets)
        return (1.0 - self.uniform) * weights / weights.sum() + self.uniform / len(self.tasks)

    def sample(self, state: dict[str, Any], key: Any) -> Leader | None:
        """Return the leader, with the tasks in focus; None while there is none."""
        if state["fitness"] is None:
            return None
        first = ()
        if self.focus:
            rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
            drawn = rng.choice(len(self.tasks), self.focus, replace=False, p=self.probabilities(state))
            first = tuple(self.tasks[i] for i in drawn)
        return Leader(state["fitness"], dict(state["losses"]), first, self.slack)

    def update(self, state: dict[str, Any], tasks: Leader | None, scores: Sequence[Score]) -> dict[str, Any]:
        """Return the state after a batch: with a better leader, if there is one that was tried on all tasks."""
        best = min((score for score in scores if score.complete), key=lambda score: score.fitness, default=None)
        if best is not None and (state["fitness"] is None or best.fitness <= state["fitness"]):
            return {"fitness": best.fitness, "losses": dict(best.losses), "since": 0}
        if state["since"] < self.patience:
            return {**state, "since": state["since"] + 1}
        return self.init(None)
