"""Environments by name: those of every family, of a level's file, and a user's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..programs import RulesmithError
from ..programs.errors import nearest, unknown
from .brax_environments import BRAX_BACKENDS, BRAX_NAMES, make_brax
from .environment import Environment, check_environment
from .gridworld import GRID_NAMES, PUBLIC, make_grid
from .gridworld.levels import make_level
from .gymnax_environments import gymnax_names, make_gymnax
from .imports import imported


class EnvironmentFamily(NamedTuple):
    """Environments that are made alike.

    Attributes:
        names: their names in the family.
        make: makes one of a name, and of options.
        options: what each option may be; the first is usual.
        packages: that they come from, whose versions decide what is found with them.
        variant: what may come before a name.
    """

    names: Callable[[], Sequence[str]]
    make: Callable[..., Environment]
    options: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    packages: tuple[str, ...] = ()
    variant: str = ""


FAMILIES = {
    "": EnvironmentFamily(gymnax_names, make_gymnax, packages=("gymnax",)),
    "brax": EnvironmentFamily(lambda: BRAX_NAMES, make_brax, {"backend": BRAX_BACKENDS}, ("brax",)),
    "grid": EnvironmentFamily(lambda: GRID_NAMES, make_grid, variant=PUBLIC),
}
"""Families by what comes before their names and a slash."""
PACKAGES = tuple(package for family in FAMILIES.values() for package in family.packages)
"""All packages that environments come from."""


def environment_family(name: str) -> tuple[EnvironmentFamily, str]:
    """Return the family that an environment's name is of, and its name there."""
    prefix, slash, rest = name.partition("/")
    return (FAMILIES[prefix], rest) if slash and prefix in FAMILIES else (FAMILIES[""], name)


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
        _check_options(name, options, {})
        return make_level(name)
    family, rest = environment_family(name)
    if rest.removeprefix(family.variant) not in family.names():
        raise RulesmithError(f"no environment {name!r}{nearest(name, names())}; `rulesmith environments` lists them")
    _check_options(name, options, family.options)
    usual = {option: values[0] for option, values in family.options.items()}
    return family.make(rest, **usual | options)


def names() -> list[str]:
    """Return the names of all environments, without a user's own."""
    return [f"{prefix}/{name}" if prefix else name for prefix, family in FAMILIES.items() for name in family.names()]


def _check_options(name: str, given: dict[str, Any], known: Mapping[str, tuple[str, ...]]) -> None:
    for option, value in given.items():
        if option not in known:
            raise RulesmithError(f"{name}: no option {option!r}")
        if value not in known[option]:
            raise unknown(f"{option} of {name}", str(value), known[option])
