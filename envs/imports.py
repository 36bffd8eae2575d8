"""A user's own tasks and environments, by import path, and what their functions raise."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..programs import RulesmithError

_Kind = TypeVar("_Kind")
EXAMPLE_FILES = {"Task": "examples/plain_dict.py", "Environment": "examples/environment.py"}
"""Files of the repository that show what a user's own object is, by its class."""


def attribute_at(path: str, what: str, right: str = "") -> Any:
    """Return the object at ``module:attribute``.

    Args:
        path: the import path.
        what: what the object is called in messages.
        right: what messages say the object must be, if they do.

    Raises:
        RulesmithError: it cannot be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RulesmithError(
            f"{what} {path!r} cannot be imported: {error}{right and f'; it must be {right}'}"
        ) from None


def imported(path: str, kind: type[_Kind], what: str) -> _Kind:
    """Return the object at ``module:attribute``; if that is a function of no arguments, what it returns.

    Args:
        path: the import path.
        kind: the class that the object must have.
        what: what the object is called in messages.

    Raises:
        RulesmithError: it cannot be imported, or is of another class.
    """
    right = f"a rulesmith.{kind.__name__}, as in {EXAMPLE_FILES[kind.__name__]}"
    found = attribute_at(path, what, right)
    try:
        made: Any = found() if callable(found) and not isinstance(found, kind) else found
    except TypeError as error:
        raise RulesmithError(f"{what} {path!r} cannot be made by calling it: {error}; it must be {right}") from None
    if not isinstance(made, kind):
        raise RulesmithError(f"{path!r} is a {type(made).__name__}, not {right}")
    return made


@contextlib.contextmanager
def own_function(owner: str, what: str) -> Iterator[None]:
    """Turn what a user's own function raises into one line that says where.

    Args:
        owner: what the function belongs to, such as "task mine".
        what: the function's name.
    """
    try:
        yield
    except RulesmithError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise RulesmithError(f"{owner}: {what} raised {type(error).__name__}{_place(error)}: {reason}") from None


def _place(error: Exception) -> str:
    """Return the user's own line at which an error came, as " (file.py, line 3)"; "" if none is known."""
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if "site-packages" not in frame.f_code.co_filename and _package(frame) != __name__.partition(".")[0]
    ]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def _package(frame: Any) -> str:
    """Return the first part of the name of the module that a frame runs in."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
