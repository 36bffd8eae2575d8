"""States as plain data, and back: what a run's store keeps of its strategy, curriculum and problem.

A state is any nest of numbers, text, lists, tuples, sets, dictionaries, arrays, JAX keys, dataclasses, named tuples,
programs, and nodes that are registered with JAX. Its plain form is JSON in which whatever JSON lacks is an object with
one key that begins with `$`. Reading it back calls no constructor and imports nothing: a class is looked up among the
states of the parts that are there, then in modules that were imported already, and must be a dataclass or a named
tuple.
"""

from __future__ import annotations

import base64
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ..programs import Program, RulesmithError


class Ledger(dict[str, Any]):
    """A dictionary that only grows, such as a cache: a store writes what came to it since the last step, not all of it.

    Values are plain data or any other state.
    """

    def __init__(self, entries: Mapping[str, Any] | None = None) -> None:
        super().__init__(entries or {})
        self.unwritten: dict[str, Any] = dict(self)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.unwritten[key] = value

    def update(self, entries: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Add entries."""
        super().update(entries)
        self.unwritten.update(entries)


class Encoder:
    """Turns states into plain data.

    Args:
        put: function of an array to the plain data that stands for it; by default its bytes.
        reference: function of a value to plain data that stands for it, or None; for what is kept elsewhere.

    Attributes:
        ledgers: the ledgers in the states, by their place there.
    """

    def __init__(
        self, put: Callable[[np.ndarray], Any] | None = None, reference: Callable[[Any], Any] = lambda value: None
    ) -> None:
        self._put = put or array_to_plain
        self._reference = reference
        self.ledgers: dict[str, Ledger] = {}

    def plain(self, value: Any, where: str = "state") -> Any:
        """Return the plain form of a value.

        Raises:
            RulesmithError: the value, or a part of it, is of a kind that a state cannot have; see the module.
        """
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if (known := self._reference(value)) is not None:
            return {"$kept": known}
        if kind is list:
            return [self.plain(each, f"{where}[{i}]") for i, each in enumerate(value)]
        if kind is tuple:
            return {"$tuple": [self.plain(each, f"{where}[{i}]") for i, each in enumerate(value)]}
        if kind is Ledger:
            self.ledgers[where] = value
            return {"$ledger": where}
        if kind is dict:
            if all(type(key) is str and not key.startswith("$") for key in value):
                return {key: self.plain(each, f"{where}.{key}") for key, each in value.items()}
            return {"$dict": [[self.plain(k, where), self.plain(v, f"{where}[{k!r}]")] for k, v in value.items()]}
        if kind in (set, frozenset):
            return {f"${kind.__name__}": [self.plain(each, where) for each in sorted(value, key=repr)]}
        if kind is bytes:
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            return {"$key": [str(jax.random.key_impl(value)), self._put(np.asarray(jax.random.key_data(value)))]}
        if isinstance(value, np.generic):
            return {"$number": self._put(np.asarray(value))}
        if isinstance(value, (np.ndarray, jax.Array)):
            return {"$array": self._put(np.asarray(value))}
        if kind is Program:
            return {"$program": value.to_flat_text()}
        if fields := _fields(kind):
            parts = {name: self.plain(getattr(value, name), f"{where}.{name}") for name in fields}
            return {"$value": [_name(kind), parts]}
        children, _ = _one_level(value)
        if len(children) != 1 or children[0] is not value:
            return {"$node": [_name(kind), [self.plain(each, f"{where}[{i}]") for i, each in enumerate(children)]]}
        raise RulesmithError(
            f"{where} is a {kind.__name__}, which a run cannot keep: a state is made of numbers, text, arrays, lists, "
            "tuples, dictionaries, dataclasses and named tuples"
        )


class Decoder:
    """Turns plain data into states again.

    Args:
        examples: states of the run's parts, whose classes may be made again.
        get: function of what `Encoder` put for an array to the array.
        dereference: function of what `Encoder`'s reference gave to the value.
        ledger: function of a ledger's place in the states to its entries.
    """

    def __init__(
        self,
        examples: Any = None,
        get: Callable[[Any], np.ndarray] | None = None,
        dereference: Callable[[Any], Any] = lambda known: known,
        ledger: Callable[[str], Mapping[str, Any]] = lambda where: {},
    ) -> None:
        self._get, self._dereference, self._ledger = get or array_of_plain, dereference, ledger
        self._classes: dict[str, type] = {}
        self._nodes: dict[str, Any] = {}
        self._learn(examples)

    def value(self, plain: Any) -> Any:
        """Return the value that `Encoder.plain` was given.

        Raises:
            RulesmithError: a class is not there, or has other fields than when the state was kept.
            ValueError: the data does not come from `Encoder.plain`.
        """
        if isinstance(plain, list):
            return [self.value(each) for each in plain]
        if not isinstance(plain, dict):
            return plain
        tag = next(iter(plain), "")
        if not tag.startswith("$"):
            return {key: self.value(each) for key, each in plain.items()}
        inner = plain[tag]
        match tag:
            case "$kept":
                return self._dereference(inner)
            case "$tuple":
                return tuple(self.value(each) for each in inner)
            case "$ledger":
                found = Ledger({key: self.value(each) for key, each in self._ledger(inner).items()})
                found.unwritten.clear()
                return found
            case "$dict":
                return {self.value(key): self.value(each) for key, each in inner}
            case "$set":
                return {self.value(each) for each in inner}
            case "$frozenset":
                return frozenset(self.value(each) for each in inner)
            case "$bytes":
                return base64.b64decode(inner)
            case "$key":
                return jax.random.wrap_key_data(jax.numpy.asarray(self._get(inner[1])), impl=inner[0])
            case "$number":
                return self._get(inner)[()]
            case "$array":
                return self._get(inner)
            case "$program":
                return Program.parse(inner)
            case "$value":
                return self._made(*inner)
            case "$node":
                return self._noded(*inner)
        raise ValueError(f"{tag} is not a state")

    def _made(self, name: str, parts: dict[str, Any]) -> Any:
        kind = self._classes.get(name) or _imported(name)
        if kind is None or set(_fields(kind)) != set(parts):
            raise RulesmithError(f"the run's state is a {name}, which does not exist here, or has other fields by now")
        values = {field: self.value(each) for field, each in parts.items()}
        if issubclass(kind, tuple):
            return tuple.__new__(kind, [values[field] for field in _fields(kind)])
        made = object.__new__(kind)
        for field, each in values.items():
            object.__setattr__(made, field, each)
        return made

    def _noded(self, name: str, children: list[Any]) -> Any:
        if name not in self._nodes or self._nodes[name].num_leaves != len(children):
            raise RulesmithError(f"the run's state is a {name}, which does not exist here, or has other parts by now")
        return jax.tree.unflatten(self._nodes[name], [self.value(each) for each in children])

    def _learn(self, value: Any) -> None:
        """Remember the classes of an example."""
        if isinstance(value, (np.ndarray, jax.Array, np.generic)):
            return
        if isinstance(value, dict):
            parts = list(value.values())
        elif isinstance(value, (list, set, frozenset)) or type(value) is tuple:
            parts = list(value)
        elif fields := _fields(type(value)):
            self._classes[_name(type(value))] = type(value)
            parts = [getattr(value, field) for field in fields]
        else:
            children, structure = _one_level(value)
            if len(children) == 1 and children[0] is value:
                return
            self._nodes[_name(type(value))] = structure
            parts = children
        for part in parts:
            self._learn(part)


def array_to_plain(array: np.ndarray) -> list[Any]:
    """Return an array as [dtype, shape, bytes in base 64]."""
    return [array.dtype.name, list(array.shape), base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()]


def array_of_plain(plain: Any) -> np.ndarray:
    """Return the array that `array_to_plain` was given."""
    name, shape, data = plain
    return np.frombuffer(base64.b64decode(data), np.dtype(name)).reshape(shape).copy()


def _fields(kind: type) -> tuple[str, ...]:
    """Return the names of what a dataclass or a named tuple holds; nothing for another class."""
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", ())
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _imported(name: str) -> type | None:
    """Return a dataclass or a named tuple of a module that was imported already, or None."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and _fields(found) else None


def _one_level(value: Any) -> tuple[list[Any], Any]:
    return jax.tree.flatten(value, is_leaf=lambda part: part is not value)
