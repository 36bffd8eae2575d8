"""What a running search shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..search.engine import Record

_LINES_EVERY = 5.0
"""Seconds between plain lines."""


class Display:
    """An observer. Use as a context manager around the run, then call `end`."""

    def __init__(self, directory: Path, *, programs: int | None, minutes: float | None) -> None:
        self.directory = directory
        self.programs, self.minutes = programs, minutes
        self.console = Console(highlight=False)
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self.began = time.perf_counter()
        self.searching: float | None = None
        self.tried = self.refused = self.seen = 0
        self.sources: Counter[str] = Counter()
        self.record: Record | None = None
        self.shown = 0.0

    def __enter__(self) -> Display:
        self.console.print(f"run directory: {self.directory}")
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            self.live.__exit__(*error)

    def status(self, text: str) -> None:
        """Say what is going on."""
        self.console.print(f"{time.perf_counter() - self.began:6.1f} s  {text}")

    def __call__(self, record: Record) -> None:
        """Show a step."""
        now = time.perf_counter()
        if self.searching is None:
            self.searching = now - record.metrics["seconds"]
        self.record = record
        self.tried += len(record.candidates)
        self.refused += sum(candidate.refused for candidate in record.candidates)
        self.sources.update(feedback.source for feedback in record.feedback)
        if self.live:
            self.live.update(self._panel(now))
        elif now - self.shown >= _LINES_EVERY:
            self.shown = now
            self.console.print(self._line(now), soft_wrap=True)

    def _rate(self, now: float) -> float:
        assert self.searching is not None
        return (self.tried + self.refused) / max(now - self.searching, 1e-9)

    def _shares(self) -> str:
        every = max(self.tried + self.refused, 1)
        duplicates = self.sources["digest"] / every
        cached = self.sources["fingerprint"] / every
        return f"invalid {self.refused / every:.0%}, duplicate {duplicates:.0%}, cached {cached:.0%}"

    def _budget(self, now: float) -> str:
        assert self.record is not None
        proposed = self.record.states.strategy.proposed
        parts = [f"{proposed:,} programs" + (f" of {self.programs:,}" if self.programs else "")]
        if self.minutes and self.searching is not None:
            parts.append(f"{(now - self.searching) / 60:.1f} of {self.minutes:g} minutes")
        return ", ".join(parts)

    def _best(self) -> float | None:
        assert self.record is not None
        archive = self.record.states.strategy.archive
        return archive[0].fitness if archive else None

    def _line(self, now: float) -> str:
        best = self._best()
        found = "none yet" if best is None else f"{best:.4f} of tuned AdamW's loss"
        return (
            f"{now - self.began:6.1f} s  {self._budget(now)}, {self._rate(now):.0f}/s, {self._shares()}; best {found}"
        )

    def _panel(self, now: float) -> Panel:
        assert self.record is not None
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("loss / AdamW's", "statements", "candidate"):
            table.add_column(column, justify="right", no_wrap=True)
        archive = self.record.states.strategy.archive
        for entry in archive[:6]:
            table.add_row(f"{entry.fitness:.4f}", str(entry.candidate.length), str(entry.candidate.index))
        head = f"{self._budget(now)}   {self._rate(now):.0f} programs/s   {self._shares()}"
        body: list[Any] = [Text(head), Text(), table]
        if archive:
            body += [Text(), Text(archive[0].candidate.program.simplified().to_text().rstrip(), style="cyan")]
        return Panel(Group(*body), title="hall of fame", title_align="left", width=min(self.console.width, 110))

    def end(self) -> None:
        """Say what was found, and what to do with it."""
        record = self.record
        archive = record.states.strategy.archive if record else ()
        if not record or not archive:
            self.console.print("nothing new was found")
            return
        best = archive[0]
        self.console.print(f"\n{self._line(time.perf_counter())}\n", soft_wrap=True)
        self.console.print(best.candidate.program.simplified().to_text().rstrip(), style="cyan")
        start = "below" if best.fitness < 1 else "above"
        self.console.print(
            f"\nIts loss on the search's tasks is {best.fitness:.3f} of tuned AdamW's ({start} 1; on validation data"
            f"\nthat the search looked at, so no proof yet). Next:"
            f"\n  rulesmith show {self.directory}\n  rulesmith export {self.directory} -o my_optimizer.py",
            soft_wrap=True,
        )
