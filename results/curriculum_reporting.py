"""Runs on a curriculum of levels, as text for the terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Group
from rich.text import Text

from ..envs.gridworld import Level
from ..envs.gridworld.optimal import optimal_of_many
from ..search.level_store import LevelStore, LifeRow
from . import objective_reporting, statistics
from .display import sparkline
from .layout import table
from .level_reporting import level_text

SCORES = {"regret by its yardstick": "regret", "pvl": "pvl", "l1": "l1", "maxmc": "maxmc"}
"""What is held against the exact regret, by the name that is shown."""
_COMPARED = 400
"""Lives, the latest, of which the exact regret is computed."""


def run_json(store: LevelStore, *, stats: bool) -> dict[str, Any]:
    """Return a run as JSON, as `objective_reporting.run_json` does, with its lives and probes."""
    report = objective_reporting.run_json(store, stats=stats)
    report["steps"] = report.pop("generations")
    report["held_out"] = store.fact("held_out")
    return report | {"probes": store.held_out(), "lives": [row._asdict() for row in store.lives()]}


def run_text(store: LevelStore) -> Group:
    """Return a run for the terminal."""
    config, rows = store.fact("config"), store.steps()
    low, high = config["updates"]
    head = f"{store.directory}: {config['rule']} by {config['strategy']} on a curriculum, seed {config['seed']}"
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(f"levels {config['levels']}, lives of {low} to {high} updates, scored by {config['score']}"),
    ]
    if not store.last_state():
        return Group(*parts, Text("no checkpoint yet"))
    lives = list(store.lives())
    steps, seconds = sum(metrics["env_steps"] for _, metrics in rows), store.seconds()
    rate = steps / seconds if seconds else 0.0
    counts = f"{len(rows):,} meta-steps, {len(lives):,} lives on {len({row.mark for row in lives}):,} levels"
    parts.append(Text(f"{counts}; {steps:,} steps in {seconds / 60:.1f} minutes ({rate:,.0f} a second)"))
    probes, fixed = [share for _, share in store.held_out()], store.fact("held_out")
    if probes:
        parts += [
            Text(f"\n{fixed['unit']} on levels kept out of the search, by step", style="bold"),
            Text(sparkline(probes), style="cyan"),
            Text(
                f"first {probes[0]:.3f}, last {probes[-1]:.3f}; agents that learn nothing {fixed['random']:.3f}, those "
                f"of {config['antagonist']} {fixed['antagonist']:.3f}"
            ),
        ]
    found = correlations(store, lives)
    if found:
        shown = table("score", "rank correlation with the exact regret")
        for name, interval in found.items():
            shown.add_row(name, str(interval))
        parts += [
            Text(),
            shown,
            Text(f"of the latest {min(len(lives), _COMPARED)} lives, with 95% bootstrap intervals"),
        ]
    scored = [row for row in lives if row.score is not None]
    if scored and config["score"] not in ("random", "frozen"):
        best = max(scored[-_COMPARED:], key=lambda row: row.score or 0.0)
        parts += [Text(f"\nthe latest lives' highest score, {best.score:.3f}, was on", style="bold")]
        parts += [level_text(store.level(best.mark))]
    return Group(*parts, Text(), objective_reporting.objective_text(store.best_rule()))


class Regrets(NamedTuple):
    """Lives with their exact regrets: what is possible beyond what was reached."""

    lives: list[LifeRow]
    exact: np.ndarray


def exact_regrets(store: LevelStore, lives: Sequence[LifeRow], most: int = _COMPARED) -> Regrets:
    """Return the latest lives on tabular levels, with their exact regrets by dynamic programming."""
    known = [row for row in lives if row.returns is not None][-most:]
    marks = list(dict.fromkeys(row.mark for row in known))
    optimal: dict[str, float] = {}
    for members in _by_shape(store, marks).values():
        stacked: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *(level for _, level in members))
        optimal |= dict(zip((mark for mark, _ in members), np.asarray(optimal_of_many(stacked)).tolist(), strict=True))
    kept = [row for row in known if row.mark in optimal]
    return Regrets(kept, np.array([optimal[row.mark] - (row.returns or 0.0) for row in kept]))


def _by_shape(store: LevelStore, marks: Sequence[str]) -> dict[tuple[int, int], list[tuple[str, Level]]]:
    """Return tabular levels by board and number of objects, which arrays to stack must share."""
    groups: dict[tuple[int, int], list[tuple[str, Level]]] = {}
    for mark in marks:
        level = store.level(mark)
        if (np.asarray(level.places) >= 0).all():
            groups.setdefault((len(level.walls), len(level.rewards)), []).append((mark, level))
    return groups


def correlations(store: LevelStore, lives: Sequence[LifeRow]) -> dict[str, statistics.Estimate]:
    """Return Spearman's rank correlation of each score that is known of the lives with their exact regret."""
    rows, exact = exact_regrets(store, lives)
    if len(rows) < 20:
        return {}
    found = {}
    for title, name in SCORES.items():
        values = [_figure(row, name) for row in rows]
        known = np.array([value is not None for value in values])
        if name == "regret" and store.fact("config")["score"] == "exact-regret":
            continue
        if known.sum() >= 20:
            wanted = np.array([value for value in values if value is not None], float)
            found[title] = statistics.rank_correlation(wanted, exact[known])
    return found


def _figure(row: LifeRow, name: str) -> float | None:
    if name == "regret":
        return None if row.yardstick is None or row.returns is None else row.yardstick - row.returns
    return getattr(row, name)


def replays(lives: Sequence[LifeRow]) -> Counter[str]:
    """Return how many lives there were on each level after its first."""
    return Counter(row.mark for row in lives if not row.first)
