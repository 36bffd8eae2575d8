"""Configs as plain data, and back: every method's config is a frozen dataclass, kept in a run's store as a dictionary.

Types say how a field is read: tuples are lists in JSON, a dataclass within is a dictionary. A part that was given as a
Python object (a `Task` of a user's own) is kept as its name and a hash of what it is: the run goes on only where the
same object is given again.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from ..programs import RulesmithError

_Config = TypeVar("_Config")


def to_plain(value: Any) -> Any:
    """Return a config, or a part of one, as plain data."""
    if hasattr(value, "mark"):
        return {"object": value.name, "mark": value.mark()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return value


def from_plain(kind: type[_Config], plain: Any, where: str = "config") -> _Config:
    """Return the config of a class that `to_plain` was called on.

    Raises:
        RulesmithError: the data does not fit the class; which field, in one line.
    """
    return _read(kind, plain, where)


def _read(kind: Any, plain: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _read(typing.get_args(kind)[0], plain, where)
    if kind is Any:
        return plain
    if origin in (Union, types.UnionType):
        return _read_union(typing.get_args(kind), plain, where)
    if origin is Literal:
        return _checked(plain in typing.get_args(kind), plain, where)
    if origin is tuple:
        _checked(isinstance(plain, list), plain, where)
        args = typing.get_args(kind)
        each = args[:1] * len(plain) if args[1:] == (...,) else args
        _checked(len(each) == len(plain), plain, where)
        return tuple(_read(one, part, where) for one, part in zip(each, plain, strict=True))
    if dataclasses.is_dataclass(kind):
        _checked(isinstance(plain, dict), plain, where)
        hints = typing.get_type_hints(kind, include_extras=True)
        _checked(set(plain) <= set(hints), plain, where)
        return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in plain.items()})  # pyright: ignore[reportCallIssue]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: tuple(each) if isinstance(each, list) else each for key, each in plain.items()}
    if kind is Path:
        return Path(plain)
    if kind is float:
        return float(_checked(type(plain) in (int, float), plain, where))
    return _checked(type(plain) is kind, plain, where)


def _read_union(kinds: Sequence[Any], plain: Any, where: str) -> Any:
    if isinstance(plain, dict) and set(plain) == {"object", "mark"}:
        raise RulesmithError(
            f"{where} was given from Python ({plain['object']}): go on from Python too, with the same object"
        )
    if plain is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        try:
            return _read(kind, plain, where)
        except RulesmithError as error:
            errors.append(error)
    raise errors[-1]


def _checked(fits: bool, plain: Any, where: str) -> Any:
    if not fits:
        raise RulesmithError(f"{where} is {plain!r}, which this version of rulesmith does not take")
    return plain


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, ours, theirs) where two configs, as plain data, differ; fields within fields as ``replay.edit``."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and "mark" not in ours and "mark" not in theirs:
        for name in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}" if path else name)
    elif ours != theirs:
        yield path, ours, theirs


def words_of(plain: Any) -> str:
    """Return a field's value as a user writes it."""
    if isinstance(plain, dict):
        return plain["object"] if "mark" in plain else " ".join(f"{k}={words_of(v)}" for k, v in plain.items())
    if isinstance(plain, list):
        return " ".join(map(words_of, plain))
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def names_of(parts: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of parts of a plain config that may have been given as objects (tasks, environments)."""
    return tuple(part["object"] if isinstance(part, dict) else part for part in parts)
