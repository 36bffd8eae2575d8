"""Successive halving: programs climb from cheap trainings to costly ones, and on each rung only the best go on.

What counts as among the best on a rung is the level that the given share of the programs reached that were tried there
lately (see `meta.fitness.Bars`). It is the same for all programs of a batch, and changes between batches only: so what
is found depends neither on the number of workers nor on the order in which they end (unlike in Li et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...meta.fitness import LEAST_NOISE, SHORT_WEIGHT, AdamWReference, Bars, Rung
from ...meta.score import Score

LEAST_KNOWN = 8
"""Programs by which a rung must be known before the best of them are told from the others."""
CLEARLY = 3.0
"""On a rung that fewer programs know, one is stopped that is worse than they are by so many times the noise."""
LEAST_TRUST = 0.1


@dataclass(frozen=True)
class Halving:
    """A curriculum of the engine; its state is what was reached lately, as plain data.

    Attributes:
        rungs: all of them, in the order in which they are climbed.
        reference: AdamW's losses, by whose noise levels are trusted.
        window: how many programs are remembered on each rung, the last ones.
    """

    rungs: tuple[Rung, ...]
    reference: AdamWReference
    window: int = 200

    def init(self, key: Any) -> dict[str, Any]:
        """Return the state: nothing is known, so the first program climbs all rungs."""
        return {"levels": [[] for _ in self.rungs], "whole": []}

    def sample(self, state: dict[str, Any], key: Any) -> Bars:
        """Return the rungs with what must be reached on each."""
        bars, shifts, trust = [], [], []
        whole = np.array(state["whole"]).reshape(-1, len(self.rungs))
        for number, (rung, levels) in enumerate(zip(self.rungs, state["levels"], strict=True)):
            known = len(levels) >= LEAST_KNOWN
            worst = max(levels) + CLEARLY * self.noise(number) if levels else math.inf
            bars.append(float(np.quantile(levels, rung.kept)) if known else worst)
            mean = float(np.mean(levels)) if levels else 0.0
            spread = float(np.var(levels)) if known else 0.0
            part = max(LEAST_TRUST, 1.0 - self.noise(number) ** 2 / spread) if spread > 0 else 1.0
            rise = float(np.mean(whole[:, -1] - whole[:, number])) if len(whole) else 0.0
            trust.append(part)
            shifts.append(rise + (1.0 - part) * mean)
        return Bars(self.rungs, tuple(bars), tuple(shifts), tuple(trust))

    def noise(self, number: int) -> float:
        """Return the standard deviation of a level at a rung, if a program's noise is AdamW's."""
        best: dict[str, tuple[float, int]] = {}  # by task: what its longest training so far counts, and its seeds
        for rung in self.rungs[: number + 1]:
            best[rung.task] = (SHORT_WEIGHT if rung.short else 1.0, len(rung.seeds))
        weights = {task: part * self.reference.weights[task] for task, (part, _) in best.items()}
        noises = {task: max(self.reference.noise[task], LEAST_NOISE) for task in best}
        squares = [(weights[task] * noises[task]) ** 2 / seeds for task, (_, seeds) in best.items()]
        return math.sqrt(sum(squares)) / sum(weights.values())

    def update(self, state: dict[str, Any], tasks: Bars, scores: Sequence[Score]) -> dict[str, Any]:
        """Return the state after a batch. Equal levels are those of programs that were known, which count once."""
        levels = [list(kept) for kept in state["levels"]]
        whole = [list(kept) for kept in state["whole"]]
        for score in scores:
            for kept, level in zip(levels, score.rungs, strict=False):
                if level not in kept:
                    kept.append(level)
            if score.complete and list(score.rungs) not in whole:
                whole.append(list(score.rungs))
        return {"levels": [kept[-self.window :] for kept in levels], "whole": whole[-self.window :]}
