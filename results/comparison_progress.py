"""How a comparison says what it works on, how much is done, and how long the rest will take.

`Workload` is the pure part: which jobs are done, in work and waiting, and from that the time left. `reporting` shows
it: on a terminal as a bar, elsewhere as lines, one for each judgement and one after `SILENCE` seconds without any.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..programs.quantities import counted
from .layout import is_live, say

SILENCE = 9.0
"""Seconds without a line after which one says what is being worked on."""


class Costed(Protocol):
    """A piece of work: what it is called, and what it costs in any unit that all share."""

    @property
    def label(self) -> str:
        """What it is called."""
        ...

    @property
    def cost(self) -> float:
        """How long it takes, relative to the others."""
        ...


class Workload:
    """Jobs that a number of workers take in their order.

    Args:
        jobs: the jobs, in the order in which workers take them.
        at_once: number of workers.
        now: the clock when work begins, in seconds.
        shares: function that returns how much is done of jobs in work, from 0 to 1, as far as it is known.
    """

    def __init__(
        self, jobs: Sequence[Costed], at_once: int, now: float, shares: Callable[[], Mapping[Any, float]] = dict
    ) -> None:
        self.total = len(jobs)
        self._waiting = list(jobs)
        self._begun: dict[Costed, float] = {}
        self._at_once = max(1, at_once)
        self._shares = shares
        self._done_cost = self._done_seconds = 0.0
        self._take(now)

    def _take(self, now: float) -> None:
        while self._waiting and len(self._begun) < self._at_once:
            self._begun[self._waiting.pop(0)] = now

    def finish(self, job: Costed, now: float) -> None:
        """Note that a job is done; its worker takes the next."""
        begun = self._begun.pop(job, None)
        if begun is None:  # it was taken out of turn, after a worker was lost
            self._waiting.remove(job)
            begun = now
        self._done_cost += job.cost
        self._done_seconds += now - begun
        self._take(now)

    @property
    def done(self) -> int:
        """How many jobs are done."""
        return self.total - len(self._begun) - len(self._waiting)

    def _known_shares(self) -> dict[Costed, float]:
        """Return the shares of jobs in work of which some is done."""
        return {job: share for job, share in self._shares().items() if job in self._begun and share > 0}

    @property
    def share(self) -> float:
        """Share of the whole cost that is done, from 0 to 1."""
        rest = sum(job.cost for job in (*self._begun, *self._waiting))
        begun = sum(job.cost * share for job, share in self._known_shares().items())
        return (self._done_cost + begun) / (self._done_cost + rest) if self.total else 1.0

    def seconds_left(self, now: float) -> float | None:
        """Return about how long the rest takes, judged by what is done; None before anything is."""
        if not self._begun:
            return 0.0
        shares = self._known_shares()
        cost = self._done_cost + sum(job.cost * share for job, share in shares.items())
        seconds = self._done_seconds + sum(now - self._begun[job] for job in shares)
        if not seconds:
            return None

        def left(job: Costed, since: float) -> float:
            if job in shares:
                return (now - since) * (1 / shares[job] - 1)
            expected = job.cost * seconds / cost
            return max(expected - (now - since), 0.1 * expected)  # one that takes longer counts as nearly done

        rest = [left(job, since) for job, since in self._begun.items()]
        rest += [job.cost * seconds / cost for job in self._waiting]
        return max(sum(rest) / min(self._at_once, len(rest)), *rest)

    def summary(self, now: float) -> str:
        """Return how many jobs are done, and the time left, in words."""
        return f"{self.done} of {self.total} done, {_left(self.seconds_left(now))}" if self.total else "nothing to do"

    def working_on(self) -> str:
        """Return what is in work, in words."""
        shares = self._known_shares()
        labels = [f"{job.label} ({shares[job]:.0%})" if job in shares else job.label for job in self._begun]
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        return f"working on: {'; '.join(labels[:3])}{more}"


def _left(seconds: float | None) -> str:
    """Return a time to go in words."""
    if seconds is None:
        return "time left known once more is done"
    if seconds < 60:
        return "less than a minute left" if seconds else "none left"
    if seconds < 5400:
        return f"about {counted(round(seconds / 60), 'minute')} left"
    return f"about {seconds / 3600:.1f} hours left"


@contextlib.contextmanager
def reporting(
    jobs: Sequence[Costed],
    at_once: int,
    status: Callable[[str], None] | None,
    first: str,
    shares: Callable[[], Mapping[Any, float]] = dict,
) -> Iterator[Callable[[Costed, str], None]]:
    """Show how work goes on, and yield the function to be called with each job that is done and a line about it.

    Args:
        jobs: see `Workload`.
        at_once: see `Workload`.
        status: function that gets the lines, in one thread at a time, instead of standard error.
        first: the line before work begins.
        shares: see `Workload`.
    """
    from rich.console import Console

    load = Workload(jobs, at_once, time.monotonic(), shares)
    console = Console(stderr=True, highlight=False)
    if status is None and is_live(console):
        say(console, first)
        shown = _bar(load, console)
    else:
        tell = status or functools.partial(say, console)
        tell(first)
        shown = _lines(load, tell)
    with shown as finished:
        yield finished


@contextlib.contextmanager
def _lines(load: Workload, tell: Callable[[str], None]) -> Iterator[Callable[[Costed, str], None]]:
    lock, over = threading.Lock(), threading.Event()
    spoken = time.monotonic()

    def finished(job: Costed, line: str) -> None:
        nonlocal spoken
        with lock:
            spoken = time.monotonic()
            load.finish(job, spoken)
            tell(f"{line}; {load.summary(spoken)}")

    def tick() -> None:
        nonlocal spoken
        while not over.wait(max(0.01, spoken + SILENCE - time.monotonic())):
            with lock:
                now = time.monotonic()
                if now - spoken >= SILENCE and not over.is_set():
                    tell(f"{load.working_on()}; {load.summary(now)}")
                    spoken = now

    ticker = threading.Thread(target=tick, daemon=True)
    if load.total:
        ticker.start()
    try:
        yield finished
    finally:
        over.set()
        if load.total:
            ticker.join()


@contextlib.contextmanager
def _bar(load: Workload, console: Any) -> Iterator[Callable[[Costed, str], None]]:
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TimeElapsedColumn
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    lock = threading.Lock()  # the bar is drawn by a thread of its own

    class Words(ProgressColumn):
        """What is being worked on, how much is done, and the time left; computed whenever the bar is drawn."""

        def render(self, task: Any) -> Text:
            """Return the words."""
            with lock:
                now = time.monotonic()
                words = f"{load.summary(now)}; {load.working_on()}" if load.done < load.total else load.summary(now)
            return Text(words, overflow="ellipsis", no_wrap=True)

    class Bar(BarColumn):
        """The share that is done, of jobs in work as well; computed whenever the bar is drawn."""

        def render(self, task: Any) -> ProgressBar:
            """Return the bar."""
            with lock:
                task.completed = load.share
            return super().render(task)

    columns = (SpinnerColumn(), TimeElapsedColumn(), Bar(20), Words())
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        progress.add_task("", total=1.0)

        def finished(job: Costed, line: str) -> None:
            with lock:
                load.finish(job, time.monotonic())
            say(progress.console, line)

        yield finished
