"""What a running search shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..search.engine import Record

_LINES_EVERY = 5.0
"""Seconds between plain lines."""


class Display:
    """An observer. Use as a context manager around the run, then call `end`.

    Args:
        directory: of the run.
        budget: what bounds the run by number (programs, generations), or None.
        minutes: what bounds it by time, or None.
    """

    def __init__(self, directory: Path, *, budget: int | None, minutes: float | None) -> None:
        self.directory = directory
        self.budget, self.minutes = budget, minutes
        self.console = Console(highlight=False)
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self.began = time.perf_counter()
        self.searching: float | None = None
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
        self.console.print(f"{time.perf_counter() - self.began:6.1f} s  {text}", soft_wrap=True)

    def __call__(self, record: Record) -> None:
        """Show a step."""
        now = time.perf_counter()
        if self.searching is None:
            self.searching = now - record.metrics["seconds"]
        self.record = record
        self.count(record)
        if self.live:
            self.live.update(self.panel(record, now))
        elif now - self.shown >= _LINES_EVERY:
            self.shown = now
            self.console.print(f"{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)

    def end(self) -> None:
        """Say what was found, and what to do with it."""
        if self.record is None:
            self.console.print("nothing new was found")
            return
        self.summary(self.record)

    def spent(self, now: float) -> str:
        """Return the time of the search so far, and of its bound."""
        if not self.minutes or self.searching is None:
            return ""
        return f", {(now - self.searching) / 60:.1f} of {self.minutes:g} minutes"

    def head(self, what: str, record: Record, now: float, seen: int, env_steps: int) -> str:
        """Return how far a search of agents has come: steps of its bound, time, time left, environment steps a second.

        Args:
            what: its steps are called.
            record: the last.
            now: by the clock.
            seen: steps since this session began.
            env_steps: in these.
        """
        assert self.searching is not None
        bound = f" of {self.budget:,}" if self.budget else ""
        passed = max(now - self.searching, 1e-9)
        left = f", {(self.budget - record.step) * passed / seen / 60:.1f} minutes left" if self.budget else ""
        return f"{what} {record.step:,}{bound}{self.spent(now)}{left}, {env_steps / passed:,.0f} env-steps/s"

    @abstractmethod
    def count(self, record: Record) -> None:
        """Take a step's figures in."""

    @abstractmethod
    def line(self, record: Record, now: float) -> str:
        """Return the plain line of a step."""

    @abstractmethod
    def panel(self, record: Record, now: float) -> Panel:
        """Return the live panel."""

    @abstractmethod
    def summary(self, record: Record) -> None:
        """Print what was found."""


class Measure(NamedTuple):
    """How the fitness of programs is spoken of.

    Attributes:
        column: heading of a table's column.
        line: what follows the number in a line.
        verdict: function of the number to a sentence.
    """

    column: str
    line: str
    verdict: Callable[[float], str]


def _against_adamw(fitness: float) -> str:
    start = "below" if fitness < 1 else "above"
    return f"Its loss on the search's tasks is {fitness:.3f} of tuned AdamW's ({start} 1; on validation data"


MEASURES = {
    "loss": Measure("loss / AdamW's", "of tuned AdamW's loss", _against_adamw),
    "returns": Measure(
        "minus return",
        "(minus the return at the end of a lifetime; 0 random, -1 tuned PPO)",
        lambda fitness: f"Agents trained by it return {-fitness:.3f} (0 random, 1 tuned PPO; in lifetimes",
    ),
    "slopes": Measure(
        "error of the slope",
        "of the learned drift's mean square slope is not explained",
        lambda fitness: f"It leaves {fitness:.1%} of the learned drift's squared slope unexplained (at ratios",
    ),
}
"""By what a search over programs looks at."""


class ProgramDisplay(Display):
    """Of a search over programs."""

    def __init__(self, directory: Path, *, budget: int | None, minutes: float | None, measure: str = "loss") -> None:
        super().__init__(directory, budget=budget, minutes=minutes)
        self.measure = MEASURES[measure]
        self.tried = self.refused = 0
        self.sources: Counter[str] = Counter()

    def count(self, record: Record) -> None:
        """Take a step's figures in."""
        self.tried += len(record.candidates)
        self.refused += sum(candidate.refused for candidate in record.candidates)
        self.sources.update(feedback.source for feedback in record.feedback)

    def _rate(self, now: float) -> float:
        assert self.searching is not None
        return (self.tried + self.refused) / max(now - self.searching, 1e-9)

    def _shares(self) -> str:
        every = max(self.tried + self.refused, 1)
        duplicates = self.sources["digest"] / every
        cached = self.sources["fingerprint"] / every
        return f"invalid {self.refused / every:.0%}, duplicate {duplicates:.0%}, cached {cached:.0%}"

    def _budget(self, record: Record, now: float) -> str:
        bound = f" of {self.budget:,}" if self.budget else ""
        return f"{record.states.strategy.proposed:,} programs{bound}{self.spent(now)}"

    def line(self, record: Record, now: float) -> str:
        """Return the plain line of a step."""
        archive = record.states.strategy.archive
        found = f"{archive[0].fitness:.4f} {self.measure.line}" if archive else "none yet"
        return f"{self._budget(record, now)}, {self._rate(now):.0f}/s, {self._shares()}; best {found}"

    def panel(self, record: Record, now: float) -> Panel:
        """Return the live panel: budget, shares, hall of fame, the best program."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in (self.measure.column, "statements", "candidate"):
            table.add_column(column, justify="right", no_wrap=True)
        archive = record.states.strategy.archive
        for entry in archive[:6]:
            table.add_row(f"{entry.fitness:.4f}", str(entry.candidate.length), str(entry.candidate.index))
        head = f"{self._budget(record, now)}   {self._rate(now):.0f} programs/s   {self._shares()}"
        body: list[Any] = [Text(head), Text(), table]
        if archive:
            body += [Text(), Text(archive[0].candidate.program.simplified().to_text().rstrip(), style="cyan")]
        return Panel(Group(*body), title="hall of fame", title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record) -> None:
        """Print the best program and its figure."""
        archive = record.states.strategy.archive
        if not archive:
            self.console.print("no program has been tried on all tasks yet")
            return
        best, now = archive[0], time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}\n", soft_wrap=True)
        self.console.print(best.candidate.program.simplified().to_text().rstrip(), style="cyan")
        self.console.print(
            f"\n{self.measure.verdict(best.fitness)}"
            f"\nthat the search looked at, so no proof yet). Next:"
            f"\n  rulesmith show {self.directory}\n  rulesmith export {self.directory} -o my_rule.py",
            soft_wrap=True,
        )


SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 60) -> str:
    """Return values as a line of bars, means of neighbours where there are more than `width`."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, high = min(means), max(means)
    return "".join(SPARKS[int((v - low) / (high - low or 1) * (len(SPARKS) - 1))] for v in means)


class GenerationDisplay(Display):
    """Of a search over networks by generations."""

    def __init__(self, directory: Path, *, budget: int | None, minutes: float | None) -> None:
        super().__init__(directory, budget=budget, minutes=minutes)
        self.centers: list[float] = []
        self.env_steps = self.diverged = 0

    def count(self, record: Record) -> None:
        """Take a generation's figures in."""
        self.centers.append(record.metrics["center"])
        self.env_steps += int(record.metrics["env_steps"])
        self.diverged += int(record.metrics["diverged"])

    def _head(self, record: Record, now: float) -> str:
        return self.head("generation", record, now, len(self.centers), self.env_steps)

    def _recent(self) -> float:
        recent = self.centers[-20:]
        return sum(recent) / len(recent)

    def line(self, record: Record, now: float) -> str:
        """Return the plain line of a generation."""
        figures = "median {median:.3f}, best {best:.3f}".format(**record.metrics)
        mean = f"mean's return {self._recent():.3f} over the last {min(20, len(self.centers))}"
        return f"{self._head(record, now)}; {mean} (0 random, 1 PPO); candidates {figures}"

    def panel(self, record: Record, now: float) -> Panel:
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
        ]
        title = "return at the end of a lifetime (0 random, 1 tuned PPO)"
        return Panel(Group(*body), title=title, title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record) -> None:
        """Print where the search stands."""
        now = time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}", soft_wrap=True)
        self.console.print(
            "\nThese returns are of the search's own environments, so no proof yet. Next:"
            f"\n  rulesmith show {self.directory}\n  rulesmith export {self.directory} -o my_objective.py",
            soft_wrap=True,
        )
