"""The one exception that a faulty program or rule file raises."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class RulesmithError(Exception):
    """Something a user can put right. Its text is one line: what is wrong, where, and what would be right."""


class ProgramError(RulesmithError):
    """A program that is not in the language, with the number of the faulty line (from 1), or None."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message if line is None else f"line {line}: {message}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown(what: str, name: str, known: Iterable[str]) -> RulesmithError:
    """Return the error for an unknown name; it gives the nearest known name, and all of them."""
    names = list(known)
    return RulesmithError(f"no {what} {name!r}{nearest(name, names)}; there are {', '.join(names)}")


def need(module: str, extra: str) -> None:
    """Raise RulesmithError, which says how to install it, unless an optional module is there."""
    if importlib.util.find_spec(module) is None:
        raise RulesmithError(f"this needs {module}: pip install 'rulesmith[{extra}]'")
