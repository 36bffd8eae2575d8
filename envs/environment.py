"""One interface over every reinforcement-learning environment: a few pure functions and what they take and give.

An environment is plain functions over states that are pytrees. Its `params` are data too, so one compiled rollout
serves every level of a grid-world. `step` does not reset: it distinguishes a time limit (*truncation*, after which the
last state still has a value) from an end of the task (*termination*, after which there is no more reward), and the
vectorized `rollout` resets after both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32

from .marks import computation_hash, content_hash, hash_of


class Discrete(NamedTuple):
    """Integers from 0 to `count` - 1."""

    count: int

    def __str__(self) -> str:
        return f"{self.count:,} numbers"


class Box(NamedTuple):
    """Arrays of a shape; in a space of actions, each entry is between `low` and `high`."""

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
