"""Runs on a curriculum of levels."""

from __future__ import annotations

import shlex
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ...programs.quantities import counted
from ...search.curricula.scores import score_named
from ...search.engine import Record
from ...search.level_store import LevelStore
from ...search.runs import method_named
from ..display import Display, sparkline
from ..layout import careful, export_step, show, table
from ..level_regrets import COMPARED, correlations
from ..level_reporting import level_text
from ..objective_reporting import objective_text
from ..standing import Figure
from . import Findings, View, generations, tasks_of

HELD_OUT = "held-out levels"

_RECENT = 100
"""Number of the latest lives whose means are shown."""


class CurriculumDisplay(Display):
    """The display of a search by meta-steps, on levels that a buffer replays."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.steps = self.env_steps = self.diverged = 0
        self.first_lives = self.lives = 0
        self.recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self.probes: list[float] = []

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's figures."""
        self.steps += 1
        self.env_steps += int(record.metrics["env_steps"])
        self.diverged += int(record.metrics["diverged"])
        over = record.scores.over & record.scores.sound
        self.recent.extend(zip(record.scores.returns[over].tolist(), record.scores.yardstick[over].tolist()))
        self.lives += int(record.tasks.vacant.sum())
        self.first_lives += int(record.tasks.fresh.sum())
        self.see(record)
        if "held_out" in record.metrics:
            self.probes.append(record.metrics["held_out"])

    def _head(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        return self.head("step", record, now, self.steps, self.env_steps)

    def _means(self) -> tuple[float, float]:
        values = np.array([*self.recent])
        if not len(values):
            return float("nan"), float("nan")
        known = values[np.isfinite(values).all(axis=1)]
        regret = float((known[:, 1] - known[:, 0]).mean()) if len(known) else float("nan")
        return float(np.nanmean(values[:, 0])), regret

    def _held_out(self) -> str:
        return f"{self.probes[-1]:.4f}" if self.probes else "not yet known"

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a step."""
        returns, regret = self._means()
        lives = (
            f"last {counted(len(self.recent), 'life', 'lives')}: return {returns:.3f}"
            if self.recent
            else "no life has ended yet"
        )
        if np.isfinite(regret):
            lives += f", regret {regret:.3f}"
        buffer = record.states.curriculum
        levels = f"{counted(int(buffer.filled.sum()), 'level')} kept"
        return f"{self._head(record, now)}; {HELD_OUT} {self._held_out()}; {lives}; {levels}"

    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel: held-out levels, the last lives, the buffer."""
        buffer, (returns, regret) = record.states.curriculum, self._means()
        names = ("held-out levels", "return", "regret", "levels kept", "mean score", "lives on replayed levels")
        rows = table(*names, right=names)
        scores = buffer.score[buffer.filled & buffer.evaluated]
        rows.add_row(
            self._held_out(),
            f"{returns:.3f}" if self.recent else "-",
            f"{regret:.3f}" if np.isfinite(regret) else "-",
            f"{int(buffer.filled.sum()):,} of {len(buffer.filled):,}",
            f"{scores.mean():.3f}" if len(scores) else "-",
            f"{1 - self.first_lives / max(self.lives, 1):.0%}",
        )
        body: list[Any] = [
            Text(self._head(record, now)),
            Text(),
            rows,
            Text(),
            Text(sparkline(self.probes), style="cyan"),
            Text(
                "held-out levels: share of the optimal return that agents reach there (mean return where none is known)"
            ),
            Text(
                f"{counted(self.diverged, 'agent')} diverged; return and regret are of the last "
                f"{counted(len(self.recent), 'life', 'lives')}"
            ),
            *self.living(),
        ]
        return Panel(Group(*body), title="curriculum", title_align="left", width=min(self.console.width, 120))

    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print where the search stands."""
        now = time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)
        for part in self.living():
            show(self.console, part)


def run_json(store: LevelStore) -> dict[str, Any]:
    """Return a run as plain data, as `generations.run_json` does, with its lives and probes."""
    report = generations.run_json(store)
    report["steps"] = report.pop("generations")
    report["held_out"] = store.fact("held_out")
    return report | {"probes": store.held_out(), "lives": [row._asdict() for row in store.lives()]}


def run_text(store: LevelStore) -> Group:
    """Return a run for the terminal."""
    config, rows = store.fact("config"), store.steps()
    low, high = config["updates"]
    head = f"{store.directory}: {config['rule']} by {config['strategy']} on a curriculum, seed {config['seed']}"
    where = ", ".join(tasks_of(config))
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(f"levels {where}, lives of {low} to {high} updates, scored by {config['score']}"),
    ]
    if not store.last_state():
        return Group(*parts, Text("no checkpoint yet"))
    lives = list(store.lives())
    rule: Any = method_named(store.fact("method")).rule(store)
    steps, seconds = sum(metrics["env_steps"] for _, metrics in rows), store.seconds()
    rate = steps / seconds if seconds else 0.0
    levels = counted(len({row.mark for row in lives}), "level")
    counts = f"{counted(len(rows), 'meta-step')}, {counted(len(lives), 'life', 'lives')} on {levels}"
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
        parts += [careful(warning) for warning in curriculum_warnings(store)]
    parts += generations.signs_text([metrics for _, metrics in rows])
    found = correlations(store, lives)
    if found:
        shown = table("score", "rank correlation with the exact regret")
        for name, interval in found.items():
            shown.add_row(name, str(interval))
        parts += [
            Text(),
            shown,
            Text(f"of the latest {counted(min(len(lives), COMPARED), 'life', 'lives')}, with 95% bootstrap intervals"),
        ]
    scored = [row for row in lives if row.score is not None]
    if scored and score_named(config["score"]).replay is None:
        best = max(scored[-COMPARED:], key=lambda row: row.score or 0.0)
        parts += [Text(f"\nthe latest lives' highest score, {best.score:.3f}, was on", style="bold")]
        parts += [level_text(store.level(best.mark))]
    return Group(*parts, Text(), objective_text(rule))


def curriculum_warnings(store: LevelStore) -> list[str]:
    """Return what makes a run's figure say less than it seems to, a sentence each."""
    fixed = store.fact("held_out")
    if fixed["antagonist"] > fixed["random"]:
        return []
    return ["the antagonist's agents are not above agents that learn nothing; give longer --updates"]


def _done(store: LevelStore) -> str:
    return counted(store.done(), "meta-step")


def _figure(store: LevelStore) -> Figure | None:
    probes = store.held_out()
    if not probes:
        return None
    fixed, config = store.fact("held_out"), store.fact("config")
    step, share = probes[-1]
    where = f"levels of {', '.join(tasks_of(config))} kept out of the search, at step {step:,}"
    name = f"{fixed['unit']}, {HELD_OUT}"
    yardstick = f"agents of {config['antagonist']}"
    ends = {"at": fixed["antagonist"], "nothing": fixed["random"]}
    return Figure(name, share, False, yardstick, where, **ends)


def _report(store: LevelStore) -> Findings:
    from ..report.curricula import findings_of_curriculum

    return findings_of_curriculum(store)


def _next_steps(store: LevelStore) -> list[tuple[str, str]]:
    run = shlex.quote(str(store.directory))
    return [
        (
            f"rulesmith compare {run} --levels mazes --env CartPole-v1 --horizon 5e4",
            "judges it where it was not trained",
        ),
        (f"rulesmith report {run}", "one page on what was found, how, and which levels were chosen"),
        (f"rulesmith level {run} --png levels.png", "draws the levels with the highest scores"),
        export_step(run, "my_objective"),
    ]


VIEW = View(
    *(run_text, run_json, _done, _figure, _report, _next_steps),
    *(generations.network_rows, generations.no_lineage, CurriculumDisplay),
)
"""How such runs are looked at."""
