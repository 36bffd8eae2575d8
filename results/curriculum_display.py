"""What a running search on a curriculum of levels shows."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ..search.engine import Record
from .display import Display, sparkline
from .layout import table

_RECENT = 100
"""Lives that the shown means are of."""


class CurriculumDisplay(Display):
    """Of a search by meta-steps, on levels that a buffer replays."""

    def __init__(self, directory: Path, *, budget: int | None, minutes: float | None) -> None:
        super().__init__(directory, budget=budget, minutes=minutes)
        self.steps = self.env_steps = self.diverged = 0
        self.first_lives = self.lives = 0
        self.recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self.probes: list[float] = []

    def count(self, record: Record) -> None:
        """Take a step's figures in."""
        self.steps += 1
        self.env_steps += int(record.metrics["env_steps"])
        self.diverged += int(record.metrics["diverged"])
        over = record.scores.over & record.scores.sound
        self.recent.extend(zip(record.scores.returns[over].tolist(), record.scores.yardstick[over].tolist()))
        self.lives += int(record.tasks.vacant.sum())
        self.first_lives += int(record.tasks.fresh.sum())
        if "held_out" in record.metrics:
            self.probes.append(record.metrics["held_out"])

    def _head(self, record: Record, now: float) -> str:
        return self.head("step", record, now, self.steps, self.env_steps)

    def _means(self) -> tuple[float, float]:
        values = np.array([*self.recent])
        if not len(values):
            return float("nan"), float("nan")
        known = values[np.isfinite(values).all(axis=1)]
        regret = float((known[:, 1] - known[:, 0]).mean()) if len(known) else float("nan")
        return float(np.nanmean(values[:, 0])), regret

    def _held_out(self) -> str:
        return f"{self.probes[-1]:.3f}" if self.probes else "not yet known"

    def line(self, record: Record, now: float) -> str:
        """Return the plain line of a step."""
        returns, regret = self._means()
        lives = f"last {len(self.recent)} lives: return {returns:.3f}" if self.recent else "no life has ended yet"
        if np.isfinite(regret):
            lives += f", regret {regret:.3f}"
        buffer = record.states.curriculum
        levels = f"{int(buffer.filled.sum()):,} levels kept"
        return f"{self._head(record, now)}; held-out levels {self._held_out()}; {lives}; {levels}"

    def panel(self, record: Record, now: float) -> Panel:
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
            Text(f"{self.diverged} agents diverged; return and regret are of the last {len(self.recent)} lives"),
        ]
        return Panel(Group(*body), title="curriculum", title_align="left", width=min(self.console.width, 120))

    def summary(self, record: Record) -> None:
        """Print where the search stands."""
        now = time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)
        self.console.print(
            "\nThe held-out levels are of the search's own distribution, so little proof yet. Next:"
            f"\n  rulesmith show {self.directory}\n  rulesmith report {self.directory}"
            f"\n  rulesmith compare {self.directory} --levels mazes --env CartPole-v1 --horizon 5e4",
            soft_wrap=True,
        )
