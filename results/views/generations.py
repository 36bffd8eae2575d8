"""Runs over networks by generations: searches of objectives."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...programs.quantities import counted
from ...search.array_store import ArrayStore
from ...search.engine import Record
from ...search.methods.objective import LATEST
from ...search.problems.return_scale import ReturnScale
from ...search.runs import method_named
from ..display import Display, sparkline
from ..layout import careful, export_step, show, table
from ..objective_reporting import objective_text
from ..signs_of_life import LIFE_SIGNS, dead_parts, signs_in
from ..standing import Figure
from ..statistics import mean_and_error
from . import Findings, Rows, View, compare_step, tasks_of

FEWEST = 5
"""Fewer generations say nothing."""


def figure_of_centers(centers: Sequence[float], where: str) -> Figure | None:
    """Return the figure of a search by generations, the mean of the strategy's mean over the latest.

    Args:
        centers: normalized return of the strategy's mean, by generation.
        where: the environments.
    """
    if not centers:
        return None
    latest = centers[-LATEST:]
    mean, error = mean_and_error(latest)
    name = f"normalized return, last {len(latest)} generations" if len(latest) > 1 else "normalized return"
    return Figure(
        name, mean, False, "tuned PPO", where, error=error if len(latest) >= FEWEST else math.inf, nothing=0.0
    )


class GenerationDisplay(Display):
    """The display of a search over networks by generations."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.centers: list[float] = []
        self.session = 0
        self.env_steps = self.diverged = 0

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a generation's figures."""
        if not self.session:  # a resumed run has generations already
            with ArrayStore.open(self.directory) as store:
                self.centers = [metrics["center"] for step, metrics in store.steps() if step < record.step]
        self.session += 1
        self.centers.append(record.metrics["center"])
        self.env_steps += int(record.metrics["env_steps"])
        self.diverged += int(record.metrics["diverged"])
        self.see(record)

    def _head(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        return self.head("generation", record, now, self.session, self.env_steps)

    def _figure(self) -> Figure:
        found = figure_of_centers(self.centers, "")
        assert found is not None
        return found

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a generation."""
        figures = "median {median:.3f}, best {best:.3f}".format(**record.metrics)
        found = self._figure()
        mean = f"{found.name} {found.value:.4f}"
        return f"{self._head(record, now)}; {mean} (0 random, 1 tuned PPO); candidates {figures}"

    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel: budget, the mean's return so far, the candidates' quantiles."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        names = ("the strategy's mean", "best", "median", "worst candidate")
        for column in names:
            table.add_column(column, justify="right", no_wrap=True)
        table.add_row(*(f"{record.metrics[name]:.3f}" for name in ("center", "best", "median", "worst")))
        body = [
            Text(self._head(record, now)),
            Text(),
            table,
            Text(),
            Text(sparkline(self.centers), style="cyan"),
            Text(f"return of the mean, by generation; {self._figure().name} {self._figure().value:.4f}"),
            Text(f"{self.diverged} candidates diverged"),
            *self.living(),
        ]
        title = "return at the end of a lifetime (0 random, 1 tuned PPO)"
        return Panel(Group(*body), title=title, title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print where the search stands."""
        now = time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)
        for part in self.living():
            show(self.console, part)


def _curve(store: ArrayStore) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """Return the generations up to the last checkpoint, and its number."""
    last = store.last_state()
    step = last[0] if last else 0
    return [(number, metrics) for number, metrics in store.steps() if number <= step], step


def run_json(store: ArrayStore) -> dict[str, Any]:
    """Return a run as plain data: what it is, its generations, and its rule's hash."""
    rows, step = _curve(store)
    rule: Any = method_named(store.fact("method")).rule(store) if step else None
    return {
        "method": store.fact("method"),
        "config": store.fact("config"),
        "reference": store.fact("reference"),
        "generations": step,
        "rule": rule.digest() if rule else None,
        "curve": [{k: v for k, v in metrics.items() if k != "seconds"} for _, metrics in rows],
    }


def run_text(store: ArrayStore) -> Group:
    """Return a run for the terminal."""
    config, rows, reference = store.fact("config"), _curve(store)[0], store.fact("reference") or {}
    low, high = config["horizon"]
    span = f"{low:,.0f}" + (f" to {high:,.0f}" if high > low else "")
    head = (
        f"{store.directory}: search for an objective, {config['rule']} by {config['strategy']}, seed {config['seed']}"
    )
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(f"environments {', '.join(tasks_of(config))}; lifetimes of {span} steps"),
    ]
    if not rows:
        return Group(*parts, Text("no checkpoint yet"))
    rule: Any = method_named(store.fact("method")).rule(store)
    steps, seconds = sum(metrics["env_steps"] for _, metrics in rows), store.seconds()
    rate = steps / seconds if seconds else 0.0
    parts.append(
        Text(
            f"{counted(len(rows), 'generation')}, {steps:,} steps in {seconds / 60:.1f} minutes ({rate:,.0f} a second)"
        )
    )
    shown = table("environment", "random", "tuned PPO", "its learning rate", right=("random", "tuned PPO"))
    for name, row in reference.items():
        shown.add_row(name, f"{row['random']:.2f}", f"{row['ppo']:.2f}", f"{row['learning_rate']:g}")
    warnings = [ReturnScale(**row).warning(name) for name, row in reference.items()]
    parts += [Text(), shown, *(careful(warning) for warning in warnings if warning)]
    centers = [metrics["center"] for _, metrics in rows]
    parts += [
        Text("\nreturn of the strategy's mean, by generation (0 random, 1 tuned PPO)", style="bold"),
        Text(sparkline(centers), style="cyan"),
        *signs_text([metrics for _, metrics in rows]),
        Text(),
    ]
    return Group(*parts, objective_text(rule))


def signs_text(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the signs of life of a run's steps for the terminal: early and late, and what has been dead for long."""
    signs = signs_in(rows)
    if not signs:
        return []
    shown = table("signs of life", "first tenth", "last tenth", right=("first tenth", "last tenth"))
    for sign in LIFE_SIGNS:
        if values := signs.get(sign.name):
            tenth = max(1, len(values) // 10)
            first, last = np.mean(values[:tenth]), np.mean(values[-tenth:])
            shown.add_row(sign.title, format(first, sign.form), format(last, sign.form))
    return [Text(), shown, *map(careful, dead_parts(signs).values())]


def network_rows(store: ArrayStore) -> Rows:
    """Return the one rule that a run over networks has: a row with its name and the hash of its arrays."""
    if store.last_state() is None:
        return []
    rule = method_named(store.fact("method")).rule(store)
    return [{"rule": rule.name, "step": store.done(), "digest": rule.mark(), "evidence": dict(rule.evidence)}]  # pyright: ignore[reportAttributeAccessIssue]


def no_lineage(store: ArrayStore) -> Rows:
    """Return no rows: a network has no ancestors."""
    return []


def _done(store: ArrayStore) -> str:
    return counted(len(_curve(store)[0]), "generation")


def _figure(store: ArrayStore) -> Figure | None:
    centers = [metrics["center"] for _, metrics in _curve(store)[0]]
    return figure_of_centers(centers, ", ".join(tasks_of(store.fact("config"))))


def _report(store: ArrayStore) -> Findings:
    from ..report.networks import findings_of_networks

    return findings_of_networks(store)


def _next_steps(store: ArrayStore) -> list[tuple[str, str]]:
    run, config = shlex.quote(str(store.directory)), store.fact("config")
    return [
        compare_step(run, config, f" --horizon {config['horizon'][1]:g}"),
        (f"rulesmith report {run}", "one page on what was found, how, and why to believe it"),
        export_step(run, "my_objective"),
    ]


VIEW = View(run_text, run_json, _done, _figure, _report, _next_steps, network_rows, no_lineage, GenerationDisplay)
"""How such runs are looked at."""
