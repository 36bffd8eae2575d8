"""A problem with a probe: every so often the rule trains agents on levels kept out of the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..engine import Evaluation, Problem

EARLY = tuple(4**power for power in range(1, 8))
"""Steps of a run's beginning that have a probe."""


class Probing(NamedTuple):
    """The state: steps done, and the state of the inner problem."""

    step: np.int32
    inner: Any


@dataclass(frozen=True)
class Probed:
    """A problem of the engine; the probe's result is a metric for observers only, so the search cannot learn from it.

    Attributes:
        inner: the problem.
        probe: function of the candidates to a number.
        every: steps between probes; before the first of them also after 4, 16, 64, ..., for what short runs find.
    """

    inner: Problem
    probe: Callable[[Any], float]
    every: int

    def init(self, key: Any) -> Probing:
        """Return the first state."""
        return Probing(np.int32(0), self.inner.init(key))

    def evaluate(self, state: Probing, candidates: Any, tasks: Any, key: Any) -> Evaluation:
        """Return what the inner problem says; at the first step and then every so often with the metric `held_out`."""
        found = self.inner.evaluate(state.inner, candidates, tasks, key)
        metrics, step = found.metrics, int(state.step)
        if step % self.every == 0 or (step < self.every and step in EARLY):
            metrics = {**metrics, "held_out": self.probe(candidates)}
        return found._replace(state=Probing(np.int32(state.step + 1), found.state), metrics=metrics)
