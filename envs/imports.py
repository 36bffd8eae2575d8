"""A user's own tasks and environments, by import path."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from ..programs import RulesmithError

_Kind = TypeVar("_Kind")


def attribute_at(path: str, what: str) -> Any:
    """Return the object at ``module:attribute``.

    Args:
        path: the import path.
        what: what the object is called in messages.

    Raises:
        RulesmithError: it cannot be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RulesmithError(f"{what} {path!r} cannot be imported: {error}") from None


def imported(path: str, kind: type[_Kind], what: str) -> _Kind:
    """Return the object at ``module:attribute``; if that is a function of no arguments, what it returns.

    Args:
        path: the import path.
        kind: the class that the object must have.
        what: what the object is called in messages.

    Raises:
        RulesmithError: it cannot be imported, or is of another class.
    """
    found = attribute_at(path, what)
    try:
        made: Any = found() if callable(found) and not isinstance(found, kind) else found
    except TypeError as error:
        raise RulesmithError(f"{what} {path!r} cannot be made by calling it: {error}") from None
    if not isinstance(made, kind):
        raise RulesmithError(f"{path!r} is a {type(made).__name__}, not a rulesmith {kind.__name__}")
    return made
