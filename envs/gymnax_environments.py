"""gymnax's environments behind our interface.

MinAtar here is gymnax's: Seaquest and Freeway differ from the original in details, there are no sticky actions, and
time limits (1,000 steps; Freeway 2,500) end episodes.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..programs import RulesmithError
from .environment import Box, Discrete, Environment, Step

GYMNAX_BROKEN = {"MNISTBandit-bsuite": "gymnax downloads its images when the environment is made"}
"""Environments that gymnax registers but that do not run with packages from a package index alone, with the reason."""

_NEVER_LONGER = {"Catch-bsuite": 9, "MNISTBandit-bsuite": 1}
"""Lengths of episodes where gymnax's own bound is far above the true one."""


def gymnax_names() -> list[str]:
    """Return the names of gymnax's environments."""
    from gymnax.registration import registered_envs

    return [name for name in registered_envs if name not in GYMNAX_BROKEN]


def make_gymnax(name: str) -> Environment:
    """Return one of gymnax's environments."""
    import gymnax

    made: Any = gymnax.make(name)
    env, params = made
    limit = params.max_steps_in_episode

    def observed(observation: Any) -> Any:
        return observation if isinstance(observations, Discrete) else jnp.asarray(observation, jnp.float32)

    def reset(key: Any, params: Any) -> tuple[Any, Any]:
        observation, state = env.reset_env(key, params)
        return observed(observation), state

    def step(key: Any, state: Any, action: Any, params: Any) -> Step:
        observation, state, reward, terminated, _ = env.step_env(key, state, action, params)
        terminated = jnp.asarray(terminated, bool)
        truncated = jnp.asarray(env.is_truncated(state, params), bool) & ~terminated
        return Step(observed(observation), state, jnp.asarray(reward, jnp.float32), terminated, truncated)

    observations = _space(env.observation_space(params), name)
    bound = _NEVER_LONGER[name] if name in _NEVER_LONGER else int(limit)
    return Environment(name, reset, step, params, observations, _space(env.action_space(params), name), bound)


def _space(space: Any, name: str) -> Discrete | Box:
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    if not hasattr(space, "shape"):
        raise RulesmithError(f"{name} has a {type(space).__name__} space, which no agent of rulesmith can use")
    return Box(tuple(space.shape), float(jnp.min(space.low)), float(jnp.max(space.high)))
