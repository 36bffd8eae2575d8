"""Strategies over programs, by name: what a config's `strategy` may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ...envs.imports import attribute_at
from ...programs.errors import unknown
from ...programs.parts import Programs
from ..candidates import Candidate, Feedback
from ..engine import Strategy
from ..mutation import Limits
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


def _evolution(
    config: Breeding, start: Programs, limits: Limits, kinds: Mapping[str, float] | None = None
) -> ProgramStrategy:
    sizes = (config.population, config.tournament, config.batch, config.restart)
    return RegularizedEvolution(start, *sizes, limits, kinds)


def _random(config: Breeding, start: Programs, limits: Limits) -> ProgramStrategy:
    return RandomSearch(start, config.batch, limits=limits)


def _constants(config: Breeding, start: Programs, limits: Limits) -> ProgramStrategy:
    return _evolution(config, start, limits, {"constant": 1})


PROGRAM_STRATEGIES: dict[str, Callable[[Any, Programs, Limits], ProgramStrategy]] = {
    "evolution": _evolution,
    "random": _random,
    "constants": _constants,
}
"""Functions of (a config, the rule to start from, what mutants must keep to) to the strategy. One more row makes a
strategy known to every search over programs and to the tests that all strategies must pass."""


def program_strategy(config: Breeding, start: Programs, limits: Limits | None = None) -> ProgramStrategy:
    """Return the strategy that a config names, or that stands at its import path.

    Args:
        config: of the search.
        start: the rule to start from.
        limits: what mutants must keep to; by default the config's number of statements.

    Raises:
        RulesmithError: there is no such strategy.
    """
    limits = limits or Limits(statements=config.statements)
    if ":" in config.strategy:
        return attribute_at(config.strategy, "strategy")(config, start, limits)
    if config.strategy not in PROGRAM_STRATEGIES:
        raise unknown("strategy", config.strategy, PROGRAM_STRATEGIES)
    return PROGRAM_STRATEGIES[config.strategy](config, start, limits)
