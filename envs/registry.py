"""Environments by name: those of every family, of a level's file, and a user's own."""

from __future__ import annotations

import functools
from typing import Any

from ..programs import RulesmithError
from ..programs.errors import nearest, unknown
from .brax_environments import BRAX_BACKENDS, BRAX_NAMES, make_brax
from .environment import Environment, check_environment
from .gridworld import GRID_NAMES, PUBLIC, make_grid
from .gridworld.levels import make_level
from .gymnax_environments import gymnax_names, make_gymnax
from .imports import imported


def make(name: str | Environment, **options: Any) -> Environment:
    """Return an environment by name; an `Environment` is returned as it is.

    Args:
        name: a name of gymnax (``"CartPole-v1"``), brax (``"brax/ant"``) or the grid-world (``"grid/small"``, or
            ``"grid/public-small"`` with five moves and a fixed start, as in the public code of Jackson et al. 2023),
            the path of a level's file (``"my_level.toml"``), or the import path of your own environment
            (``"my_module:my_environment"``, an `Environment` or a function of no arguments that returns one).
        **options: `backend` for brax ("spring", "positional", "generalized", "mjx").

    Raises:
        RulesmithError: there is no such environment or option; with the nearest name.
    """
    if isinstance(name, Environment):
        check_environment(name)
        return name
    return _made(name, **options)


@functools.cache
def _made(name: str, **options: Any) -> Environment:
    if ":" in name:
        found = imported(name, Environment, "environment")
        check_environment(found)
        return found
    if name.endswith(".toml"):
        _no_more(name, options)
        return make_level(name)
    family, _, rest = name.partition("/")
    if family == "brax":
        if rest not in BRAX_NAMES:
            raise RulesmithError(_unknown(name, [f"brax/{known}" for known in BRAX_NAMES]))
        backend = options.pop("backend", "spring")
        if backend not in BRAX_BACKENDS:
            raise unknown(f"backend of {name}", str(backend), BRAX_BACKENDS)
        _no_more(name, options)
        return make_brax(rest, backend)
    _no_more(name, options)
    if family == "grid":
        if rest.removeprefix(PUBLIC) not in GRID_NAMES:
            raise RulesmithError(_unknown(name, [f"grid/{known}" for known in GRID_NAMES]))
        return make_grid(rest)
    if name not in gymnax_names():
        raise RulesmithError(_unknown(name, names()))
    return make_gymnax(name)


def names() -> list[str]:
    """Return the names of all environments, without a user's own."""
    return [*gymnax_names(), *(f"brax/{name}" for name in BRAX_NAMES), *(f"grid/{name}" for name in GRID_NAMES)]


def _unknown(name: str, known: list[str]) -> str:
    return f"no environment {name!r}{nearest(name, known)}; `rulesmith environments` lists them"


def _no_more(name: str, options: dict[str, Any]) -> None:
    if options:
        raise RulesmithError(f"{name}: no option {next(iter(options))!r}")
