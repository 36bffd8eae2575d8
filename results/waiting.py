"""How long things took the last time, so that one can say how long they will take: compiles above all.

A time is kept in the user's cache under the words that say what goes on. It is a guess: a machine that is busy, or that
has compiled the same before, is slower or faster.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..programs import RulesmithError, rule_file
from ..search.executors import cache_folder, cache_path

_MOST = 300
"""Times that are kept; of more, the oldest are forgotten."""
_LEAST = 5.0
"""Seconds below which nothing is kept: nobody asks how long that takes."""


def _place(folder: Path) -> Path:
    return folder / "times.json"


def last_time(what: str) -> float | None:
    """Return how many seconds something took the last time; None if that is not known."""
    return _known().get(what)


def keep_time(what: str, seconds: float) -> None:
    """Keep how long something took; where the cache cannot be written, it is not kept."""
    if seconds < _LEAST:
        return
    folder = cache_folder("times")
    if folder is None:
        return
    known = {name: value for name, value in _known().items() if name != what}
    rows = [*known.items(), (what, round(seconds, 1))][-_MOST:]
    with contextlib.suppress(RulesmithError):
        rule_file.write_text(_place(folder), json.dumps(dict(rows)))


def _known() -> dict[str, float]:
    try:
        found = json.loads(_place(cache_path("times")).read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def waiting_words(what: str, passed: float) -> str:
    """Return how long something has been going on, and about how long the rest takes, if that is known."""
    last = last_time(what)
    if last is None:
        return f"{what}, for {passed:.0f} s"
    left = last - passed
    if left >= _LEAST and left >= last / 4:  # near its end, the last time says little of this one
        return f"{what}, for {passed:.0f} s, about {left:.0f} s left"
    return f"{what}, for {passed:.0f} s, {'longer than last time' if left < 0 else f'last time {last:.0f} s in all'}"
