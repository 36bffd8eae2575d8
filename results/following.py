"""`rulesmith show RUN --follow`: a run that goes on in another process, shown until it ends."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..programs import RulesmithError
from ..programs.quantities import duration
from ..search.runs import open_store
from ..search.store import is_running
from .layout import is_live, say, show
from .views import run_text, standing_of, view_of

_EVERY = 2.0
"""Seconds between looks at the run."""
_SILENCE = 9.0
"""Seconds after which a line is written again, although nothing has changed."""


def follow(directory: Path, console: Console) -> None:
    """Show a run until it ends, then whole: on a terminal as it is now, elsewhere a line whenever it changes.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    if is_running(directory):
        if is_live(console):
            with Live(_now(directory), console=console, refresh_per_second=2, transient=True) as live:
                while is_running(directory):
                    time.sleep(_EVERY)
                    live.update(_now(directory))
        else:
            _lines(directory, console)
    show(console, run_text(directory))


def _lines(directory: Path, console: Console) -> None:
    said, at = "", 0.0
    while is_running(directory):
        line = follow_line(directory)
        if line != said or time.monotonic() - at >= _SILENCE:
            say(console, line)
            said, at = line, time.monotonic()
        time.sleep(_EVERY)


def follow_line(directory: Path) -> str:
    """Return how a run stands, in a line."""
    try:
        method, store = open_store(directory)
        with store:
            found, view = standing_of(method, store), view_of(method)
            figure = f"{found.figure}; {found.verdict.kind}" if found.figure else "nothing found yet"
            return f"{view.done(store)} in {duration(store.seconds())}; {figure}"
    except RulesmithError as error:
        return f"{directory}: {error}"


def _now(directory: Path) -> Group:
    clock = Text(f"{time.strftime('%H:%M:%S')}, Ctrl-C leaves the run as it is", style="dim")
    try:
        return Group(clock, run_text(directory))
    except RulesmithError as error:  # it is being written at this moment
        return Group(clock, Text(str(error)))
