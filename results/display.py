"""What a running search shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import shlex
import threading
import time
from abc import abstractmethod
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.text import Text

from ..search.engine import Record
from .layout import careful, is_live, say, show
from .signs_of_life import LIFE_SIGNS, LONG, dead_parts, signs_words
from .waiting import keep_time, waiting_words

_LINES_EVERY = 5.0
"""Seconds between plain lines."""
_SILENCE = 9.0
"""Seconds without a line after which one says what is still going on."""


class NotebookCell:
    """A live display in the output of a notebook's cell, as `rich.live.Live` is on a terminal."""

    def __init__(self) -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def __enter__(self) -> NotebookCell:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def update(self, renderable: Any) -> None:
        """Draw it again."""
        console = Console(record=True, file=io.StringIO(), width=110, force_jupyter=False)
        console.print(renderable)
        page = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
        self._handle.update({"text/html": page}, raw=True)  # pyright: ignore[reportOptionalMemberAccess]


class Display:
    """An observer. Use as a context manager around the run, then call `end`.

    Args:
        directory: the run's directory.
        budget: what bounds the run by number (programs, generations), or None.
        minutes: what bounds it by time, or None.
        method: name of the method.
    """

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        self.directory = directory
        self.quoted = shlex.quote(str(directory))
        """The directory as a command takes it."""
        self.budget, self.minutes, self.method = budget, minutes, method
        self.console = Console(highlight=False)
        self.live: Live | NotebookCell | None = None
        if self.console.is_jupyter:
            self.live = NotebookCell()
        elif is_live(self.console):
            self.live = Live(console=self.console, refresh_per_second=4)
        self.began = time.perf_counter()
        self.searching: float | None = None
        self.record: Record[Any, Any, Any, Any] | None = None
        self.shown = self.said = self.began
        self.doing, self.named = "starting: loading JAX, and making what is trained", False
        self.since = self.began
        self.signs: dict[str, deque[float]] = {}
        self.dead: dict[str, str] = {}
        self.told: set[str] = set()
        self.over = threading.Event()

    def __enter__(self) -> Display:
        if self.live:
            self.live.__enter__()
        threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.over.set()
        if self.live:
            self.live.__exit__(*error)

    def status(self, text: str) -> None:
        """Say what is going on."""
        self._begin(text)
        self._say(text)
        if self.live and self.record is None:
            self._spin(text)

    def _begin(self, what: str) -> None:
        """Note that something begins, and how long what went on before has taken."""
        now = time.perf_counter()
        if self.record is None:  # steps differ in what they do, so the last one's time says little
            keep_time(self.doing, now - self.since)
        self.doing, self.since = what, now

    def _spin(self, text: str) -> None:
        if self.live:
            self.live.update(Spinner("dots", text) if isinstance(self.live, Live) else Text(text))

    def _say(self, text: str) -> None:
        if not self.named:  # only now, since a search that is refused makes no run
            self.named = True
            say(self.console, f"run directory: {self.directory}")
        self.said = time.perf_counter()
        say(self.console, f"{self.said - self.began:6.1f} s  {text}")

    def _break_silence(self) -> None:
        """Say every so often, from a thread of its own, what is still going on (a compile, a long step)."""
        while not self.over.wait(1.0):
            now = time.perf_counter()
            words = waiting_words(self.doing, now - self.since)
            if self.live:
                if self.record is None and now - self.since >= _SILENCE:
                    self._spin(words)
            elif now - self.said >= _SILENCE:
                self._say(f"still {words}")

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Show a step."""
        now = time.perf_counter()
        if self.searching is None:
            self.searching = now - record.metrics["seconds"]
        self._begin(f"in step {record.step + 1:,}")
        self.record = record
        self.count(record)
        if self.live:
            self.live.update(self._with_spinner(self.panel(record, now)))
        elif now - self.shown >= _LINES_EVERY:
            self.shown = now
            self._say(self.line(record, now))

    def _with_spinner(self, panel: Panel) -> Any:
        """Return a panel over what is going on and since when; only a terminal draws it again between steps."""
        if not isinstance(self.live, Live):
            return panel
        going_on = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        going_on.add_task(self.doing)
        return Group(panel, going_on)

    def end(self, standing: Any) -> None:
        """Say what was found, how the run stands, and what to do with it.

        Args:
            standing: what to print in the end; see `views.ending`.
        """
        if self.record is None:
            self.console.print("nothing new was found")
        else:
            self.summary(self.record)
        show(self.console, standing)

    def spent(self, now: float) -> str:
        """Return the time of the search so far, and of its bound."""
        if not self.minutes or self.searching is None:
            return ""
        passed = (now - self.searching) / 60
        if round(passed, 1) > self.minutes:  # the last step is done to its end
            return f", {passed:.1f} minutes, over the {self.minutes:g} asked for"
        return f", {passed:.1f} of {self.minutes:g} minutes"

    def see(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's signs of life; on a display of lines, tell at once of a part that has been dead for long."""
        for sign in LIFE_SIGNS:
            if sign.name in record.metrics:
                self.signs.setdefault(sign.name, deque(maxlen=LONG)).append(record.metrics[sign.name])
        dead = dead_parts(self.signs)
        for part in dead.keys() - self.told if not self.live else ():
            self._say(f"careful: {dead[part]}")
        self.dead, self.told = dead, self.told | dead.keys()

    def living(self) -> list[Any]:
        """Return what a panel shows of the signs of life."""
        words = signs_words(self.signs)
        return [Text(f"signs of life: {words}"), *map(careful, self.dead.values())] if words else []

    def head(self, what: str, record: Record[Any, Any, Any, Any], now: float, seen: int, env_steps: int) -> str:
        """Return how far a search of agents has come: steps of its bound, time, time left, environment steps a second.

        Args:
            what: what the search's steps are called.
            record: the last record.
            now: the time by the clock.
            seen: steps since this session began.
            env_steps: environment steps since this session began.
        """
        assert self.searching is not None
        bound = f" of {self.budget:,}" if self.budget else ""
        passed = max(now - self.searching, 1e-9)
        left = f", {(self.budget - record.step) * passed / seen / 60:.1f} minutes left" if self.budget else ""
        return f"{what} {record.step:,}{bound}{self.spent(now)}{left}, {env_steps / passed:,.0f} env-steps/s"

    @abstractmethod
    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's figures."""

    @abstractmethod
    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a step."""

    @abstractmethod
    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel."""

    @abstractmethod
    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print what was found."""


SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 60) -> str:
    """Return values as a line of bars, means of neighbours where there are more than `width`."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, high = min(means), max(means)
    return "".join(SPARKS[int((v - low) / (high - low or 1) * (len(SPARKS) - 1))] for v in means)
