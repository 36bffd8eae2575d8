"""One interface over every reinforcement-learning environment: a few pure functions and what they take and give.

An environment is plain functions over states that are pytrees. Its `params` are data too, so one compiled rollout
serves every level of a grid-world. `step` does not reset: it distinguishes a time limit (*truncation*, after which the
last state still has a value) from an end of the task (*termination*, after which there is no more reward), and the
vectorized `rollout` resets after both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32

from ..programs import RulesmithError
from .imports import own_function
from .marks import computation_hash, content_hash, hash_of


class Discrete(NamedTuple):
    """Integers from 0 to `count` - 1."""

    count: int

    def __str__(self) -> str:
        return f"one of {self.count:,}"


class Box(NamedTuple):
    """Arrays of a shape; in a space of actions, each entry is between `low` and `high`."""

    shape: tuple[int, ...]
    low: float = float("-inf")
    high: float = float("inf")

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape)) + (" real" if self.shape == (1,) else " reals")


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

    The repository's file `examples/environment.py` is one.

    Attributes:
        name: the name by which `make` finds it.
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
        normalize: whether observations and rewards need running normalization.

    Raises:
        RulesmithError: the fields do not make an environment.
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

    def __post_init__(self) -> None:
        for what in ("observations", "actions"):
            if why := _space_fault(getattr(self, what)):
                raise self.fault(f"{what} {why}")
        for what in ("reset", "step", "restart", "draw"):
            value = getattr(self, what)
            if not callable(value) and not (value is None and what in ("restart", "draw")):
                raise self.fault(f"{what} is {value!r:.60}; it must be a function")
        if type(self.max_steps) is not int or self.max_steps < 1:
            raise self.fault(f"max_steps is {self.max_steps!r}; it must be a whole number above 0")

    def fault(self, why: str) -> RulesmithError:
        """Return the error that says what is wrong with this environment."""
        return RulesmithError(f"environment {self.name}: {why}")

    def mark(self) -> str:
        """Return a hash of all that the environment is: its spaces and parameters, and what JAX compiles of it."""
        import jax

        key = jax.random.key(0)
        _, state = jax.eval_shape(self.reset, key, self.params)
        action = jax.numpy.zeros((), int) if isinstance(self.actions, Discrete) else jax.numpy.zeros(self.actions.shape)
        computed = [
            computation_hash(self.reset, key, self.params),
            computation_hash(self.step, key, state, action, self.params),
            computation_hash(self.restart, key, state, self.params) if self.restart else "",
            computation_hash(self.draw, key) if self.draw else "",
        ]
        spaces = repr((self.observations, self.actions, self.max_steps, self.normalize))
        return hash_of(self.name, spaces, content_hash(self.params), *computed)


def _space_fault(space: Any) -> str:
    """Return what is wrong with a space, as the rest of a sentence; empty if nothing is."""
    if isinstance(space, Discrete):
        whole = type(space.count) is int and space.count > 0
        return "" if whole else f"are {space!r}; rulesmith.Discrete takes a whole number above 0"
    order = "rulesmith.Box takes (shape, low, high), as in Box((2,), -1.0, 1.0)"
    if isinstance(space, Box):
        shape = isinstance(space.shape, tuple) and all(type(n) is int and n > 0 for n in space.shape)
        numbers = all(isinstance(x, int | float) for x in (space.low, space.high))
        if shape and numbers and space.low <= space.high:
            return ""
        swapped = isinstance(space.high, tuple)
        return f"are {space!r}; {order}" + ("; gymnax's order is another one" if swapped else "")
    return f"are a {type(space).__name__}; give a rulesmith.Discrete or a rulesmith.Box: {order}"


@functools.cache
def check_environment(env: Environment) -> None:
    """Raise RulesmithError, in one line, unless a user's own environment does what `Environment` says.

    Its functions are traced once, not run.
    """
    import jax

    numpy, key, owner = jax.numpy, jax.random.key(0), f"environment {env.name}"
    params = env.params
    if env.draw is not None:
        with own_function(owner, "draw"):
            params = jax.eval_shape(env.draw, key)
    with own_function(owner, "reset"):
        started = jax.eval_shape(env.reset, key, params)
    if not (isinstance(started, tuple) and len(started) == 2):
        raise env.fault(f"reset returns a {type(started).__name__}; it must return (observation, state)")
    observation, state = started
    shape, kind = ((), "int32") if isinstance(env.actions, Discrete) else (env.actions.shape, "float32")
    action = jax.ShapeDtypeStruct(shape, kind)
    with own_function(owner, "step"):
        found = jax.eval_shape(env.step, key, state, action, params)
    if not isinstance(found, Step):
        raise env.fault(
            f"step returns a {type(found).__name__}; it must return a rulesmith.Step(observation, state, reward, "
            "terminated, truncated), truncated where only time ran out"
        )
    for name in ("reward", "terminated", "truncated"):
        value = getattr(found, name)
        if numpy.shape(value) != ():
            raise env.fault(f"step returns a {name} of shape {numpy.shape(value)}; it must be one value")
    shape = () if isinstance(env.observations, Discrete) else env.observations.shape
    for where, value in (("reset", observation), ("step", found.observation)):
        if numpy.shape(value) != shape:
            raise env.fault(f"{where} returns an observation of shape {numpy.shape(value)}; its space has {shape}")
    described = [
        [
            (jax.tree_util.keystr(path), x.shape, x.dtype.name)
            for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]
        ]
        for tree in (state, found.state)
    ]
    if described[0] != described[1]:
        differs = next((pair for pair in zip(*described, strict=False) if pair[0] != pair[1]), described)
        raise env.fault(f"step changes the shape or type of the state: {differs[0]} becomes {differs[1]}")
