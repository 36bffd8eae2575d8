"""What `rulesmith refine` prints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.text import Text

from ..search.methods.refinement import Refined
from . import statistics
from .layout import code, table

_SHOWN = 12


def refinement_text(result: Refined) -> Group:
    """Return a refinement for the terminal: the funnel, what the search's own order was worth, the program."""
    rounds = max(len(row.rounds) for row in result.finalists)
    columns = ("candidate", "fitness in the search", *(f"round {i}" for i in range(1, rounds + 1)), "statements")
    rows = table("run", *columns, right=columns)
    for row in result.finalists[:_SHOWN]:
        found = [*(f"{fitness:.4f}" for fitness in row.rounds), *[""] * (rounds - len(row.rounds))]
        rows.add_row(row.run, f"{row.index:,}", f"{row.search:.4f}", *found, str(len(row.program.statements)))
    first, tuned, last = result.fitness
    parts = [
        Text("loss relative to tuned AdamW's, below 1 is better", style="bold"),
        rows,
        Text(overfitting(result)),
        Text(
            f"\nthe winner {first:.4f}, with its constants tuned {tuned:.4f}, without what does nothing {last:.4f} "
            f"(a fitness varies by {result.noise:.4f} with the seeds)\n"
        ),
        code(result.program.to_text()),
    ]
    worth = table("statement", "fitness without it", right=("fitness without it",))
    for removal in result.removals:
        worth.add_row(removal.statement, f"{removal.fitness:.4f}" + (", so it went" if removal.gone else ""))
    return Group(*parts, Text(), worth)


def overfitting(result: Refined) -> str:
    """Return a sentence on how well the fitness in the search foretold that of the funnel's first round."""
    return overfitting_of([(row.search, row.rounds[0]) for row in result.finalists])


def overfitting_of(found: Sequence[tuple[float, float]]) -> str:
    """Return the sentence for pairs of fitness, in the search and on selection tasks; of few, without correlation."""
    pairs = np.array(found, float)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if not len(pairs):
        return "no program has a finite fitness on selection tasks"
    best, chosen = pairs[np.argmin(pairs[:, 0])], pairs[np.argmin(pairs[:, 1])]
    words = f"the search's best has {best[1]:.4f} on selection tasks, the chosen one {chosen[1]:.4f}"
    if len(pairs) < 5:
        return words
    correlation = statistics.rank_correlation(pairs[:, 0], pairs[:, 1])
    return f"{words}; rank correlation of the search's fitness with that, over {len(pairs)} programs: {correlation}"
