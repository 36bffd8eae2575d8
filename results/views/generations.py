"""Runs over networks by generations: searches of objectives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...programs import rule_file
from ...search.array_store import ArrayStore
from ...search.config_codec import names_of
from ...search.engine import Record
from ...search.problems.return_scale import ReturnScale
from ...search.runs import method_named
from .. import pictures
from ..display import Display, sparkline
from ..layout import careful, section, show, table, text_part
from ..objective_reporting import objective_text
from ..signs_of_life import LIFE_SIGNS, dead_parts, signs_in
from . import Rows, View

BELOW_RANDOM = "the agents that it trains are below random policies"


class GenerationDisplay(Display):
    """The display of a search over networks by generations."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.centers: list[float] = []
        self.env_steps = self.diverged = 0

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a generation's figures."""
        self.centers.append(record.metrics["center"])
        self.env_steps += int(record.metrics["env_steps"])
        self.diverged += int(record.metrics["diverged"])
        self.see(record)

    def _head(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        return self.head("generation", record, now, len(self.centers), self.env_steps)

    def _recent(self) -> float:
        recent = self.centers[-20:]
        return sum(recent) / len(recent)

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a generation."""
        figures = "median {median:.3f}, best {best:.3f}".format(**record.metrics)
        mean = f"mean's return {self._recent():.3f} over the last {min(20, len(self.centers))}"
        return f"{self._head(record, now)}; {mean} (0 random, 1 PPO); candidates {figures}"

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
            Text(f"return of the mean; {self._recent():.3f} over the last {min(20, len(self.centers))} generations"),
            Text(f"{self.diverged} candidates diverged"),
            *self.living(),
        ]
        title = "return at the end of a lifetime (0 random, 1 tuned PPO)"
        return Panel(Group(*body), title=title, title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print where the search stands."""
        now = time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)
        if self._recent() < 0:
            show(self.console, careful(BELOW_RANDOM))
        for part in self.living():
            show(self.console, part)
        self.console.print(
            "\nThese returns are of the search's own environments, so no proof yet. Next:"
            f"\n  rulesmith show {self.quoted}\n  rulesmith export {self.quoted} -o my_objective.py",
            soft_wrap=True,
        )


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
    head = (
        f"{store.directory}: search for an objective, {config['rule']} by {config['strategy']}, seed {config['seed']}"
    )
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(
            f"environments {', '.join(names_of(config['environments']))}; lifetimes of {low:,.0f} to {high:,.0f} steps"
        ),
    ]
    if not rows:
        return Group(*parts, Text("no checkpoint yet"))
    rule: Any = method_named(store.fact("method")).rule(store)
    steps, seconds = sum(metrics["env_steps"] for _, metrics in rows), store.seconds()
    rate = steps / seconds if seconds else 0.0
    parts.append(
        Text(f"{len(rows):,} generations, {steps:,} steps in {seconds / 60:.1f} minutes ({rate:,.0f} a second)")
    )
    shown = table("environment", "random", "tuned PPO", "its learning rate", right=("random", "tuned PPO"))
    for name, row in reference.items():
        shown.add_row(name, f"{row['random']:.2f}", f"{row['ppo']:.2f}", f"{row['learning_rate']:g}")
    warnings = [ReturnScale(**row).warning(name) for name, row in reference.items()]
    parts += [Text(), shown, *(careful(warning) for warning in warnings if warning)]
    centers = [metrics["center"] for _, metrics in rows]
    tenth = max(1, len(centers) // 10)
    first, last = np.mean(centers[:tenth]), np.mean(centers[-tenth:])
    parts += [
        Text("\nreturn of the strategy's mean, by generation (0 random, 1 tuned PPO)", style="bold"),
        Text(sparkline(centers), style="cyan"),
        Text(f"first tenth {first:.3f}, last tenth {last:.3f}; each is noisy: lifetimes are drawn anew"),
        *([careful(BELOW_RANDOM)] if last < 0 else []),
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


def signs_curves(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the report's part on the signs of life: a figure each."""
    signs = signs_in(rows)
    if not signs:
        return []
    about = "Entropies are shares of the greatest; y between states is the deviation of its probabilities."
    figures = [
        pictures.curve(sign.title, {sign.title: pictures.smoothed(signs[sign.name])}, "step", sign.title)
        for sign in LIFE_SIGNS
        if sign.name in signs
    ]
    return [section("Whether all parts do something", about), *figures]


def network_rows(store: ArrayStore) -> Rows:
    """Return the one rule that a run over networks has: a row with its name and the hash of its arrays."""
    if store.last_state() is None:
        return []
    rule = method_named(store.fact("method")).rule(store)
    return [{"rule": rule.name, "step": store.done(), "digest": rule.mark(), "evidence": dict(rule.evidence)}]  # pyright: ignore[reportAttributeAccessIssue]


def no_lineage(store: ArrayStore) -> Rows:
    """Return no rows: a network has no ancestors."""
    return []


def _counts(store: ArrayStore) -> tuple[str, str]:
    rows, _ = _curve(store)
    return f"{len(rows):,} generations", f"{rows[-1][1]['center']:.4f}" if rows else ""


def _parts(store: ArrayStore) -> list[Any]:
    rows = [metrics for _, metrics in store.steps()]
    rule: Any = method_named(store.fact("method")).rule(store)
    lines = {
        "the strategy's mean": [row["center"] for row in rows],
        "the mean, over 15 generations": pictures.smoothed([row["center"] for row in rows]),
        "candidates' median": pictures.smoothed([row["median"] for row in rows]),
    }
    parts: list[Any] = [
        section("What was searched and found"),
        text_part(run_text(store)),
        section("How it came about", "Returns at the end of lifetimes in the search's own environments."),
        pictures.curve("return by generation (0 random, 1 tuned PPO)", lines, "generation", "normalized return"),
        *signs_curves(rows),
    ]
    if rule.kind == "drift":
        ppo = rule_file.find_objective("ppo-clip")
        parts += [
            section("What it does", "Where the pull is 0, a further change of the policy gains nothing."),
            pictures.drift_map(rule),
            *(pictures.pull_curves(rule, ppo, advantage) for advantage in (1.0, -1.0)),
        ]
    return parts


VIEW = View(run_text, run_json, _counts, _parts, network_rows, no_lineage, GenerationDisplay)
"""How such runs are looked at."""
