"""What a comparison of optimizers compares: rules, and functions like `optax.adamw`, each with its search space."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..envs.imports import attribute_at
from ..programs import RulesmithError
from ..programs.rule import Rule
from .training import Factory
from .tuning import FROM_ONE, MOST, settings

LEARNING_RATES, WEIGHT_DECAYS = (1e-4, 1.0), (1e-4, 1e-1)
"""Ranges for an optimizer that does not state its own."""


@dataclass(frozen=True)
class Contestant:
    """An optimizer to compare.

    Attributes:
        name: the name to show: for an import path its attribute, for a function its name.
        rule: a rule, or a function like `optax.adamw` of a learning rate and hyperparameters.
        ranges: what is tuned, `learning_rate` first, on a logarithmic scale.
    """

    name: str
    rule: Rule | Factory
    ranges: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class OfNumber:
    """A factory that gets the learning rate as a number, since not every factory takes a schedule as optax's do."""

    function: Any

    def __call__(self, learning_rate: Any, **hyperparameters: Any) -> optax.GradientTransformation:
        """Return the transform for a learning rate, or for a schedule that is the same at all steps."""
        rate = learning_rate(jnp.int32(0)) if callable(learning_rate) else learning_rate
        return self.function(rate, **hyperparameters)


def contestant_of_rule(rule: Rule) -> Contestant:
    """Return a rule as a contestant, with its own ranges."""
    return Contestant(rule.name, rule, {"learning_rate": rule.learning_rate or LEARNING_RATES, **rule.ranges})


def contestant_at(path: str) -> Contestant:
    """Return the optimizer at an import path, ``module:attribute``; see `contestant_of_function`.

    Raises:
        RulesmithError: it cannot be imported, or is no function of a learning rate.
    """
    return contestant_of_function(attribute_at(path, "optimizer"), path.partition(":")[2], path)


def contestant_of_function(function: Any, name: str = "", where: str = "") -> Contestant:
    """Return an optimizer that is a function of `learning_rate` and hyperparameters, as `optax.adamw` is.

    Its attribute `search_space`, a mapping of `learning_rate` and hyperparameters to ranges, says what is tuned; by
    default the learning rate, and the weight decay if it has one. See `tuning.settings` for ranges of `1 - b1`.

    Args:
        function: returns an optax transform.
        name: what to call it; by default the function's own name.
        where: where it comes from, for messages.

    Raises:
        RulesmithError: it is no function of a learning rate, its `search_space` does not fit it, or what it returns
            does not train from gradients alone.
    """
    name = name or _name_of(function)
    where = where or name
    try:
        names = list(inspect.signature(function).parameters) if callable(function) else []
    except (TypeError, ValueError):  # a callable without a signature, such as some built-in ones
        names = []
    if not names or names[0] != "learning_rate":
        raise RulesmithError(f"{where!r} is no function of `learning_rate` and hyperparameters, as optax.adamw is")
    ranges = {"learning_rate": LEARNING_RATES}
    if "weight_decay" in names:
        ranges["weight_decay"] = WEIGHT_DECAYS
    stated: Any = getattr(function, "search_space", ranges)
    if not isinstance(stated, Mapping) or "learning_rate" not in stated or len(stated) > MOST:
        raise RulesmithError(f"{where}: `search_space` maps learning_rate and up to {MOST - 1} more to (low, high)")
    try:
        ranges = {str(key): (float(low), float(high)) for key, (low, high) in stated.items()}
    except (TypeError, ValueError):
        raise RulesmithError(f"{where}: `search_space` maps names to (low, high)") from None
    for key, (low, high) in ranges.items():
        if not 0 < low < high or key.removeprefix(FROM_ONE) not in names:
            raise RulesmithError(f"{where}: `search_space` has {key} from {low:g} to {high:g}; not a range it can have")
    factory = OfNumber(function)
    _try(where, factory, ranges)
    return Contestant(name, factory, ranges)


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")  # of a lambda, "lambda"


def _try(where: str, factory: Factory, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raise RulesmithError unless an optimizer can be made and updates weights from gradients alone."""

    def once(weights: Any) -> Any:
        options = {name: value for name, value in settings(ranges, 1)[0].items() if name != "learning_rate"}
        transform = factory(1e-3, **options)
        return transform.update(weights, transform.init(weights), weights)

    try:
        jax.eval_shape(once, {"a": jnp.ones((2, 3)), "b": jnp.ones(3)})
    except Exception as error:
        reason = str(error).split("\n")[0]
        raise RulesmithError(f"{where} is no optimizer that trains from gradients alone: {reason}") from None
