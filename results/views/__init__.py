"""How runs are looked at, by kind of run: as text, as JSON, as tables, as figures, and while they go on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from ...search.runs import open_store

if TYPE_CHECKING:
    from ...search.method import Method
    from ..display import Display

Rows = list[dict[str, Any]]
"""A table: one dictionary for each row, all with the same keys."""


@dataclass(frozen=True)
class View:
    """How runs of a kind are looked at. Functions take the run's store.

    Attributes:
        text: the run as text for the terminal.
        to_json: the run as plain data, which depends on the config, seed and bound alone.
        counts: how much was done, and the run's main figure, both in words.
        parts: parts of the run's report: HTML, and plotly figures.
        hall_of_fame: the best candidates, best first.
        lineage: how the best candidate came about, oldest first.
        display: makes the display of a running search, from the run's directory, its bound and its minutes.
    """

    text: Callable[[Any], Group]
    to_json: Callable[[Any], dict[str, Any]]
    counts: Callable[[Any], tuple[str, str]]
    parts: Callable[[Any], list[Any]]
    hall_of_fame: Callable[[Any], Rows]
    lineage: Callable[[Any], Rows]
    display: Callable[[Path, int | None, float | None, str], Display]


def view_of(method: Method[Any]) -> View:
    """Return how a method's runs are looked at."""
    return importlib.import_module(f".{method.view}", __package__).VIEW


def run_text(directory: Path) -> Group:
    """Return a run for the terminal.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    method, store = open_store(directory)
    with store:
        return view_of(method).text(store)


def run_json(directory: Path, *, stats: bool) -> dict[str, Any]:
    """Return a run as JSON: what it is and what it found; with `stats`, clock and versions too."""
    method, store = open_store(directory)
    with store:
        report = view_of(method).to_json(store)
        if stats:
            seconds = store.seconds()
            steps = sum(metrics.get("env_steps", 0) for _, metrics in store.steps())
            report["stats"] = {
                "seconds": seconds,
                f"{method.unit}_per_second": store.done() / seconds if seconds else None,
                **({"env_steps_per_second": steps / seconds if seconds else None} if steps else {}),
                **{name: store.fact(name) for name in ("versions", "flags", "python", "started")},
            }
    return report


def history(store: Any) -> Rows:
    """Return the figures of each step up to the last states, one row a step."""
    last = store.last_state()
    rows = [{"step": step, **metrics} for step, metrics in store.steps() if last and step <= last[0]]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
