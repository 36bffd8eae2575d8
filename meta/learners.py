"""From an objective to the kind of agent that it trains."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ..envs.environment import Discrete, Environment
from ..programs import RulesmithError
from ..programs.drift import learned_drift
from ..programs.errors import nearest
from ..programs.objective import Objective, drift_function
from ..programs.program import Program
from .agents import ACTIVATIONS
from .drift_learner import CLIPPED_FORM, DriftLearner, DriftSettings, Hyper
from .hypers import HyperRange
from .lifetime import Learner
from .lpg_learner import PUBLISHED_FORM, LpgLearner, LpgSettings

TABLE_RATE, NETWORK_RATE = 40.0, 3e-3
"""Learning rates of LPG's agents: plain gradient steps on tables of states (the public setting), Adam on networks."""


_CHOICES = {"activation": tuple(ACTIVATIONS), "optimizer": ("adam", "sgd")}


def settings_of(kind: str, agent: Mapping[str, Any]) -> DriftSettings | LpgSettings:
    """Return the settings of an agent: the defaults, except those that `agent` gives.

    Raises:
        RulesmithError: there is no such setting, or its value is not of the right type.
    """
    made = DriftSettings if kind == "drift" else LpgSettings
    fields = {field.name: field.default for field in dataclasses.fields(made)}
    values = {}
    for name, value in agent.items():
        if name not in fields:
            raise RulesmithError(f"agents have no setting {name!r}{nearest(name, fields)}")
        wanted = type(fields[name])
        given: Any = tuple(value) if isinstance(value, list) else value
        if wanted is float and type(given) is int:
            given = float(given)
        if type(given) is not wanted or (wanted is int and given < 1):
            raise RulesmithError(f"the agents' setting {name!r} is {value!r}; it is like {fields[name]!r}")
        if name in _CHOICES and given not in _CHOICES[name]:
            raise RulesmithError(f"the agents' {name} is {given!r}; it is one of {', '.join(_CHOICES[name])}")
        values[name] = given
    return made(**values)


PARTS_OF_RULES = frozenset({*PUBLISHED_FORM, *CLIPPED_FORM})
"""Settings of agents that are part of a learned rule, which works as it was trained."""


def numbered_drift(program: Program, names: Sequence[str]) -> Any:
    """Return a drift program as a function whose parameters {"numbers": ...} are its hyperparameters of these names."""

    def drift(parameters: Any, *given: Any) -> Any:
        return drift_function(program, dict(zip(names, parameters["numbers"], strict=True)))(None, *given)

    return drift


def learner_for(
    env: Environment,
    objective: Objective,
    agent: Mapping[str, Any] | None = None,
    numbers: Sequence[str] | None = None,
) -> Any:
    """Return the learner of an objective's agents.

    Args:
        env: their environment.
        objective: what trains them.
        agent: overrides the objective's own settings.
        numbers: names of hyperparameters of a drift program that are the rule's parameters; by default they are what
            the program says.

    Raises:
        RulesmithError: the rule does not suit the environment, or a setting does not exist.
    """
    settings = settings_of(objective.kind, {**objective.agent, **(agent or {})})
    if isinstance(settings, LpgSettings):
        return LpgLearner(env, fitted(settings, objective))
    check_minibatches(settings)
    if objective.program is None:
        return DriftLearner(env, functools.partial(learned_drift, bound=settings.input_bound), settings)
    drift = objective.drift() if numbers is None else numbered_drift(objective.program, numbers)
    return DriftLearner(env, drift, settings)


def fitted(settings: LpgSettings, objective: Objective) -> LpgSettings:
    """Return the settings with as many classes of y as the rule's net has."""
    return dataclasses.replace(settings, classes=len(objective.arrays["embed"]))


def check_minibatches(settings: DriftSettings) -> None:
    """Raise RulesmithError unless a rollout divides into the minibatches."""
    if settings.workers * settings.steps % settings.minibatches:
        raise RulesmithError(
            f"{settings.workers} workers x {settings.steps} steps do not divide into {settings.minibatches} minibatches"
        )


def hyper_for(env: Environment, kind: str, learning_rate: float | None, entropy: float) -> Any:
    """Return an agent's hyperparameters, as its learner takes them."""
    if kind == "drift":
        return Hyper(learning_rate if learning_rate is not None else 1e-3, entropy)
    tabular = isinstance(env.observations, Discrete)
    return learning_rate if learning_rate is not None else TABLE_RATE if tabular else NETWORK_RATE


def hyper_range(
    env: Environment, kind: str, usual: float | None, multiples: tuple[float, float], entropy: tuple[float, float]
) -> HyperRange:
    """Return the hyperparameters between which those of a life are drawn.

    Args:
        env: the environment.
        kind: kind of the rule.
        usual: the usual learning rate; None for that of the kind of agent.
        multiples: least and greatest learning rate, as multiples of the usual one.
        entropy: least and greatest weight of the entropy bonus (drifts).
    """
    low, high = (hyper_for(env, kind, usual, weight) for weight in entropy)
    if kind == "drift":
        return HyperRange(*(h._replace(learning_rate=h.learning_rate * m) for h, m in zip((low, high), multiples)))
    return HyperRange(low * multiples[0], high * multiples[1])


def updates_for(steps: float, agents: Learner | DriftSettings | LpgSettings, what: str = "horizon") -> int:
    """Return a horizon in environment steps as a number of updates, each of ``workers * steps`` environment steps.

    Raises:
        RulesmithError: it is shorter than one update.
    """
    each = agents.workers * agents.steps
    if not steps >= each:
        raise RulesmithError(
            f"{what} {steps:g}: shorter than one update of {agents.workers:,} workers with {agents.steps:,} steps each"
        )
    if steps > 1e12:
        raise RulesmithError(f"{what} {steps:g}: longer than any training; at most 1e12")
    return round(steps / each)


__all__ = [
    "PARTS_OF_RULES", "check_minibatches", "fitted", "hyper_for", "hyper_range", "learner_for", "settings_of",
    "updates_for",
]  # fmt: skip
