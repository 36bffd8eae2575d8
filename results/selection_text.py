"""How well a search's fitness predicted the fitness on selection tasks, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import statistics


def overfitting_of(found: Sequence[tuple[float, float]]) -> str:
    """Return the sentence for pairs of fitness, in the search and on selection tasks; with few, no correlation."""
    pairs = np.array(found, float).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if not len(pairs):
        return "no program has a finite fitness on selection tasks"
    best, chosen = pairs[np.argmin(pairs[:, 0])], pairs[np.argmin(pairs[:, 1])]
    words = f"the search's best has {best[1]:.4f} on selection tasks, the chosen one {chosen[1]:.4f}"
    if len(pairs) < 5:
        return words
    correlation = statistics.rank_correlation(pairs[:, 0], pairs[:, 1])
    return f"{words}; rank correlation of the search's fitness with that, over {len(pairs)} programs: {correlation}"
