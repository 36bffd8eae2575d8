"""Strategies over programs, by name: what a config's `strategy` may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ...envs.imports import attribute_at
from ...programs import Program
from ...programs.errors import unknown
from ..candidates import Candidate, Feedback
from ..engine import Strategy
from ..mutation import MUTATIONS, Limits
from .evolution import RandomSearch, RegularizedEvolution


class Breeding(Protocol):
    """The fields of a config that say how programs are bred; see `methods.symbolic.Symbolic`."""

    @property
    def strategy(self) -> str: ...  # noqa: D102
    @property
    def population(self) -> int: ...  # noqa: D102
    @property
    def tournament(self) -> int: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def restart(self) -> int: ...  # noqa: D102
    @property
    def statements(self) -> int: ...  # noqa: D102


ProgramStrategy = Strategy[Any, list[Candidate], list[Feedback]]


def _evolution(config: Breeding, start: Program, kinds: tuple[str, ...] = MUTATIONS) -> ProgramStrategy:
    sizes = (config.population, config.tournament, config.batch, config.restart)
    return RegularizedEvolution(start, *sizes, Limits(statements=config.statements), kinds)


def _random(config: Breeding, start: Program) -> ProgramStrategy:
    return RandomSearch(start, config.batch, limits=Limits(statements=config.statements))


def _constants(config: Breeding, start: Program) -> ProgramStrategy:
    return _evolution(config, start, ("constant",))


PROGRAM_STRATEGIES: dict[str, Callable[[Any, Program], ProgramStrategy]] = {
    "evolution": _evolution,
    "random": _random,
    "constants": _constants,
}
"""Functions of (a config, the program to start from) to the strategy. One more row makes a strategy known to every
search over programs and to the tests that all strategies must pass."""


def program_strategy(config: Breeding, start: Program) -> ProgramStrategy:
    """Return the strategy that a config names, or that stands at its import path.

    Raises:
        RulesmithError: there is no such strategy.
    """
    if ":" in config.strategy:
        return attribute_at(config.strategy, "strategy")(config, start)
    if config.strategy not in PROGRAM_STRATEGIES:
        raise unknown("strategy", config.strategy, PROGRAM_STRATEGIES)
    return PROGRAM_STRATEGIES[config.strategy](config, start)
