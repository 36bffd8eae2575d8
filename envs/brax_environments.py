"""brax's environments behind our interface: continuous control, 1,000 steps an episode."""

from __future__ import annotations

import contextlib
import io
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from ..programs import RulesmithError
from .environment import Box, Environment, Step

BRAX_NAMES = (
    *("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum"),
    *("inverted_pendulum", "pusher", "reacher", "walker2d"),
)
BRAX_BACKENDS = ("spring", "positional", "generalized", "mjx")
BRAX_BROKEN = {
    "brax/swimmer": "brax offers it on its generalized backend only, which calls jax.numpy in a way that JAX rejects"
}
"""Environments of brax that do not run, with the reason."""
LIMIT = 1000
"""Steps after which an episode is truncated."""


class BraxState(NamedTuple):
    """brax's state, the state at the start of the first episode, and the steps done in the current one."""

    now: Any
    first: Any
    time: Int32[Array, ""]


def make_brax(name: str, backend: str) -> Environment:
    """Return one of brax's environments; its parameters are empty."""
    with contextlib.redirect_stdout(io.StringIO()):  # mujoco prints that an optional part of it is missing
        from brax import envs

    try:
        env: Any = envs.get_environment(name, backend=backend)
    except ValueError as error:
        raise RulesmithError(f"brax/{name} does not run on the backend {backend}: {error}; try another") from None

    def reset(key: Any, params: Any) -> tuple[Array, BraxState]:
        state = env.reset(key)
        return state.obs, BraxState(state, state, jnp.int32(0))

    def restart(key: Any, state: BraxState, params: Any) -> tuple[Array, BraxState]:
        return state.first.obs, BraxState(state.first, state.first, jnp.int32(0))

    def step(key: Any, state: BraxState, action: Array, params: Any) -> Step:
        now = env.step(state.now, action)
        terminated = now.done > 0.5
        time = state.time + 1
        after = BraxState(now, state.first, time)
        return Step(now.obs, after, jnp.asarray(now.reward, jnp.float32), terminated, (time >= LIMIT) & ~terminated)

    full = f"brax/{name}"
    observations, actions = Box((int(env.observation_size),)), Box((int(env.action_size),), -1.0, 1.0)
    return Environment(full, reset, step, (), observations, actions, LIMIT, restart, normalize=True)
