"""A curriculum of tasks for programs, by regret: each batch is tried first where the best program is worst.

The antagonist is tuned AdamW, and the *regret* on a task the logarithm of the best program's loss over AdamW's there.
A batch has a few tasks in focus, drawn by rank of their regret. Only programs that beat the best one there are tried on
the other tasks too, so that most programs cost a part of their full evaluation (see `meta.fitness.Focus`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...meta.fitness import Focus
from ...meta.score import Score
from ...programs import RulesmithError
from .scores import rank_weights


@dataclass(frozen=True)
class RegretTasks:
    """A curriculum of the engine; its state is the best program's fitness and losses by task, as plain data.

    Attributes:
        tasks: all of them, at least two.
        focus: how many a batch is tried on first.
        uniform: share of the draw that is the same for all tasks, so that none is forgotten.

    Raises:
        RulesmithError: there are too few tasks.
    """

    tasks: tuple[str, ...]
    focus: int = 1
    uniform: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.focus < len(self.tasks):
            raise RulesmithError(
                f"a curriculum of {len(self.tasks)} tasks with {self.focus} in focus: name more --tasks"
            )

    def init(self, key: Any) -> dict[str, Any]:
        """Return the state: nothing is known, so the first programs are tried on all tasks."""
        return {"fitness": None, "losses": dict.fromkeys(self.tasks, 1.0)}

    def probabilities(self, state: dict[str, Any]) -> np.ndarray:
        """Return how likely each task is the first in focus."""
        regrets = np.log([state["losses"][name] for name in self.tasks])
        weights = rank_weights(regrets)
        return (1.0 - self.uniform) * weights / weights.sum() + self.uniform / len(self.tasks)

    def sample(self, state: dict[str, Any], key: Any) -> Focus | None:
        """Return the focus of a batch; None while nothing is known."""
        if state["fitness"] is None:
            return None
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
        drawn = rng.choice(len(self.tasks), self.focus, replace=False, p=self.probabilities(state))
        return Focus(tuple(self.tasks[i] for i in drawn), state["fitness"], dict(state["losses"]))

    def update(self, state: dict[str, Any], tasks: Focus | None, scores: Sequence[Score]) -> dict[str, Any]:
        """Return the state after a batch: that of a better program, if one was tried on all tasks."""
        best = min((score for score in scores if score.complete), key=lambda score: score.fitness, default=None)
        if best is None or best.fitness >= (math.inf if state["fitness"] is None else state["fitness"]):
            return state
        return {"fitness": best.fitness, "losses": dict(best.losses)}
