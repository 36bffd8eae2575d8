"""The one exception that a faulty program or rule file raises."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import importlib.util
import re
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
        raise RulesmithError(f"this needs {module}: {installing(extra)}")


def installing(extra: str) -> str:
    """Return the command that installs what an extra of rulesmith asks for."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        asked = [line.split(";") for line in importlib.metadata.requires("rulesmith") or []]
        wanted = [line.strip() for line, *marker in asked if re.search(rf"extra == .{extra}\b", "".join(marker))]
        if wanted:
            return f"pip install {' '.join(map(repr, wanted))}"
    return f"pip install -e '.[{extra}]' in rulesmith's directory"
