"""One interface over every reinforcement-learning environment: a few pure functions and what they take and give.

An environment is plain functions over states that are pytrees. Its `params` are data too, so one compiled rollout
serves every level of a grid-world. `step` does not reset: a time limit (*truncation*, after which the last state still
has a value) is told apart from an end of the task (*termination*, after which nothing more is to be had), and the
vectorized `rollout` resets both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32

from ..programs import RulesmithError
from ..programs.errors import nearest
from .imports import imported


class Discrete(NamedTuple):
    """Integers from 0 to `count` - 1."""

    count: int

    def __str__(self) -> str:
        return f"{self.count:,} numbers"


class Box(NamedTuple):
    """Arrays of a shape; of actions, each entry between `low` and `high`."""

    shape: tuple[int, ...]
    low: float = float("-inf")
    high: float = float("inf")

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape)) + " reals"


class Step(NamedTuple):
    """What a step of an environment returns."""

    observation: Array
    state: Any
    reward: Float32[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


@dataclass(frozen=True, eq=False)
class Environment:
    """One environment; hashed by identity, so `make` returns the same one for the same name and options.

    Attributes:
        name: as `make` takes it.
        reset: function of (key, params) to (observation, state).
        step: function of (key, state, action, params) to `Step`; never resets.
        params: the default parameters, a pytree.
        observations: space of observations.
        actions: space of actions.
        max_steps: an upper bound on the length of an episode.
        restart: function of (key, last state, params) to (observation, state), called after an episode; None means
            `reset`. brax goes back to its first state, since its reset costs as much as many steps.
        draw: function of a key to parameters, for environments that are a distribution of levels; None if there is one
            level only.
        normalize: whether observations and rewards want running normalization.
    """

    name: str
    reset: Callable[[Any, Any], tuple[Array, Any]]
    step: Callable[[Any, Any, Array, Any], Step]
    params: Any
    observations: Discrete | Box
    actions: Discrete | Box
    max_steps: int
    restart: Callable[[Any, Any, Any], tuple[Array, Any]] | None = None
    draw: Callable[[Any], Any] | None = None
    normalize: bool = False


@functools.cache
def make(name: str, **options: Any) -> Environment:
    """Return an environment by name.

    Args:
        name: of gymnax (``"CartPole-v1"``), of brax (``"brax/ant"``), of the grid-world (``"grid/small"``), the path
            of a level's file (``"my_level.toml"``), or the import path of an environment of your own
            (``"my_module:my_environment"``, an `Environment` or a function of no arguments that returns one).
        **options: `backend` for brax ("spring", "positional", "generalized", "mjx").

    Raises:
        RulesmithError: there is no such environment or option; with the nearest name.
    """
    if ":" in name:
        return imported(name, Environment, "environment")
    if name.endswith(".toml"):
        from .gridworld.levels import make_level

        _no_more(name, options)
        return make_level(name)
    family, _, rest = name.partition("/")
    if family == "brax":
        from .brax_environments import BACKENDS, NAMES, make_brax

        if rest not in NAMES:
            raise RulesmithError(_unknown(name, [f"brax/{known}" for known in NAMES]))
        backend = options.pop("backend", "spring")
        if backend not in BACKENDS:
            raise RulesmithError(
                f"{name}: no backend {backend!r}{nearest(str(backend), BACKENDS)}; there are {', '.join(BACKENDS)}"
            )
        _no_more(name, options)
        return make_brax(rest, backend)
    _no_more(name, options)
    if family == "grid":
        from .gridworld import NAMES as GRIDS
        from .gridworld import make_grid

        if rest not in GRIDS:
            raise RulesmithError(_unknown(name, [f"grid/{known}" for known in GRIDS]))
        return make_grid(rest)
    from .gymnax_environments import make_gymnax
    from .gymnax_environments import names as gymnax_names

    if name not in gymnax_names():
        raise RulesmithError(_unknown(name, names()))
    return make_gymnax(name)


def names() -> list[str]:
    """Return the names of all environments, those of a user's own apart."""
    from .brax_environments import NAMES as BRAX
    from .gridworld import NAMES as GRIDS
    from .gymnax_environments import names as gymnax_names

    return [*gymnax_names(), *(f"brax/{name}" for name in BRAX), *(f"grid/{name}" for name in GRIDS)]


def _unknown(name: str, known: list[str]) -> str:
    return f"no environment {name!r}{nearest(name, known)}; `rulesmith environments` lists them"


def _no_more(name: str, options: dict[str, Any]) -> None:
    if options:
        raise RulesmithError(f"{name}: no option {next(iter(options))!r}")
