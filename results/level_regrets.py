"""What is known afterwards of the levels that a curriculum chose: exact regrets, and how well scores predicted them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..envs.gridworld import FIVE, NINE, PUBLIC, Level
from ..envs.gridworld.optimal import optimal_of_many
from ..search.config_codec import names_of
from ..search.curricula.scores import LEVEL_SCORES
from ..search.level_store import LevelStore, LifeRow, lives_of
from ..search.numerics import computing
from . import statistics

COMPARED = 400
"""Number of the latest lives whose exact regrets are computed."""
LEAST = 20
"""Fewest lives from which a correlation is computed."""


class Regrets(NamedTuple):
    """Lives with their exact regrets: what is possible beyond what was reached."""

    lives: list[LifeRow]
    exact: np.ndarray


@computing()
def exact_regrets(store: LevelStore, lives: Sequence[LifeRow], most: int = COMPARED) -> Regrets:
    """Return the latest lives on tabular levels, with their exact regrets by dynamic programming."""
    known = [row for row in lives if row.returns is not None][-most:]
    marks = list(dict.fromkeys(row.mark for row in known))
    optimal: dict[str, float] = {}
    public = names_of([store.fact("config")["levels"]])[0].startswith(PUBLIC)
    moves = FIVE if public else NINE
    for members in _by_shape(store, marks).values():
        stacked: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *(level for _, level in members))
        returns = np.asarray(optimal_of_many(stacked, moves)).tolist()
        optimal |= dict(zip((mark for mark, _ in members), returns, strict=True))
    kept = [row for row in known if row.mark in optimal]
    return Regrets(kept, np.array([optimal[row.mark] - (row.returns or 0.0) for row in kept]))


def _by_shape(store: LevelStore, marks: Sequence[str]) -> dict[tuple[int, int], list[tuple[str, Level]]]:
    """Return tabular levels, grouped by board and number of objects: levels to stack must have the same of both."""
    groups: dict[tuple[int, int], list[tuple[str, Level]]] = {}
    for mark in marks:
        level = store.level(mark)
        if (np.asarray(level.places) >= 0).all():
            groups.setdefault((len(level.walls), len(level.rewards)), []).append((mark, level))
    return groups


def correlations(store: LevelStore, lives: Sequence[LifeRow]) -> dict[str, statistics.Estimate]:
    """Return Spearman's rank correlation of each score that is known of the lives with their exact regret.

    Every score of `LEVEL_SCORES` is tried that needs no yardstick, or the run's own; not the exact regret itself.
    """
    rows, exact = exact_regrets(store, lives)
    if len(rows) < LEAST:
        return {}
    own, kept, found = LEVEL_SCORES[store.fact("config")["score"]].yardstick, lives_of(rows), {}
    for name, score in LEVEL_SCORES.items():
        if score.replay is not None or score.yardstick == "optimal" or score.yardstick not in ("", own):
            continue  # it prefers no level, is the exact regret itself, or needs another yardstick
        worth = np.asarray(score.worth(kept), float)
        known = np.isfinite(worth)
        if known.sum() >= LEAST:
            found[name] = statistics.rank_correlation(worth[known], exact[known])
    return found


def replays(lives: Sequence[LifeRow]) -> Counter[str]:
    """Return how many lives there were on each level after its first."""
    return Counter(row.mark for row in lives if not row.first)
