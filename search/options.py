"""How fields of configs are given on a command line, where their type alone does not say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from ..envs.environment import Environment
from ..envs.tasks import Task
from ..programs import RulesmithError
from ..programs.objective import Objective

Number = TypeVar("Number", int, float)


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Return settings from words such as ``workers=16``, ``anneal=False`` or ``widths=[32,32]``; lists become tuples.

    Raises:
        RulesmithError: a word has no ``=``.
    """
    import json

    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise RulesmithError(f"--agent {word}: give NAME=VALUE, such as workers=16 or widths=[32,32]")
        try:
            value = json.loads(text.lower() if text in ("True", "False") else text)
        except ValueError:
            value = text
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def words_of_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return the words from which `parse_settings` makes these settings."""
    words = {name: str(list(x)).replace(" ", "") if isinstance(x, tuple) else x for name, x in settings.items()}
    return [f"{name}={value}" for name, value in words.items()]


def _range(kind: type[Number], unit: str) -> PrimitiveConstructorSpec[Any]:
    def parse(words: list[str]) -> tuple[Number, Number]:
        low, _, high = words[0].partition(":")
        try:
            return kind(low), kind(high or low)
        except ValueError:
            raise ValueError(f"{words[0]} is no range: give LOW:HIGH in {unit}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="LOW:HIGH",
        instance_from_str=parse,
        is_instance=lambda value: isinstance(value, tuple) and len(value) == 2,
        str_from_instance=lambda value: ["{:g}:{:g}".format(*value)],
    )


def _names(metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{metavar} [{metavar} ...]",
        instance_from_str=tuple,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [each if isinstance(each, str) else each.name for each in value],
    )


def _name(metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: True,
        str_from_instance=lambda value: [value if isinstance(value, str) else value.name],
    )


_SETTINGS = PrimitiveConstructorSpec(
    nargs="*",
    metavar="NAME=VALUE [NAME=VALUE ...]",
    instance_from_str=parse_settings,
    is_instance=lambda value: isinstance(value, Mapping),
    str_from_instance=words_of_settings,
)


def _hint(default: str) -> str:
    """Return what the help says of a default; empty for an empty default."""
    return f"(default: {default})" if default.strip("'\"") else ""


Tasks = Annotated[tuple[str | Task, ...], _names("TASK"), arg(help_behavior_hint=_hint)]
Environments = Annotated[
    tuple[str | Environment, ...], _names("ENVIRONMENT"), arg(aliases=["--env"], help_behavior_hint=_hint)
]
Levels = Annotated[str | Environment, _name("LEVELS")]
LearnedDrift = Positional[Annotated[str | Objective, _name("RULE"), arg(help_behavior_hint=_hint)]]
Runs = Positional[Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="")]]
Steps = Annotated[tuple[float, float], _range(float, "environment steps, such as 1e5:1e6")]
Multiples = Annotated[tuple[float, float], _range(float, "multiples of the usual rate, such as 0.5:2")]
Weights = Annotated[tuple[float, float], _range(float, "weights, such as 0.003:0.03")]
Updates = Annotated[tuple[int, int], _range(int, "updates, such as 10:250")]
Settings = Annotated[Mapping[str, Any], _SETTINGS, arg(help_behavior_hint=_hint)]
Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
Text = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
