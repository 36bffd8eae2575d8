"""Vectorized rollouts: a policy in many copies of an environment, as `scan` over time and `vmap` over workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32

from .environment import Environment


class WorkerStates(NamedTuple):
    """Copies of an environment in the middle of their episodes.

    Attributes:
        state: the environments' states.
        observation: what each sees now, ``(workers, ...)``.
        so_far: return of each episode until now, undiscounted.
    """

    state: Any
    observation: Array
    so_far: Float32[Array, " workers"]


class Trajectory(NamedTuple):
    """What a rollout saw.

    Attributes:
        observation: what was seen before each action, ``(time, workers, ...)``.
        action: the actions taken, ``(time, workers, ...)``.
        reward: the rewards received.
        terminated: whether the task ended with the step.
        truncated: whether a time limit ended the episode with the step.
        bootstrap: value of the last state of an episode that a time limit ended there; 0 elsewhere.
        extra: what the policy returned beside the action (log-probabilities, values).
    """

    observation: Array
    action: Array
    reward: Float32[Array, "time workers"]
    terminated: Bool[Array, "time workers"]
    truncated: Bool[Array, "time workers"]
    bootstrap: Float32[Array, "time workers"]
    extra: Any

    @property
    def done(self) -> Bool[Array, "time workers"]:
        """Whether the episode ended with the step, either way."""
        return self.terminated | self.truncated


class Episodes(NamedTuple):
    """Of the episodes that ended: how many, the sum of their returns, and the best return (minus infinity if none)."""

    count: Float32[Array, ""]
    returns: Float32[Array, ""]
    best: Float32[Array, ""]

    @property
    def mean(self) -> Float32[Array, ""]:
        """Mean return; NaN where no episode ended."""
        return self.returns / self.count


Policy = Callable[[Any, Array], tuple[Array, Any]]
"""Function of (key, observations of all workers) to (their actions, anything to keep with the trajectory)."""


def start(env: Environment, params: Any, key: Any, workers: int) -> WorkerStates:
    """Return fresh workers."""
    observation, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, workers), params)
    return WorkerStates(state, observation, jnp.zeros(workers))


def rollout(
    env: Environment,
    params: Any,
    policy: Policy,
    workers: WorkerStates,
    key: Any,
    steps: int,
    value: Callable[[Array], Array] | None = None,
) -> tuple[WorkerStates, Trajectory, Episodes]:
    """Act for some steps in every worker, starting anew wherever an episode ends.

    Args:
        env: the environment.
        params: the environment's parameters.
        policy: see `Policy`.
        workers: the workers' states at the start.
        key: consumed.
        steps: length of the rollout.
        value: function of observations to their values, called for the last states of truncated episodes; None where
            no such values are needed.
    """
    count = len(workers.so_far)
    reset = env.restart or (lambda key, state, params: env.reset(key, params))

    def step(carry: tuple[WorkerStates, Episodes], key: Any) -> tuple[tuple[WorkerStates, Episodes], Trajectory]:
        workers, episodes = carry
        act, advance, anew = jax.random.split(key, 3)
        action, extra = policy(act, workers.observation)
        after = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(advance, count), workers.state, action, params)
        done = after.terminated | after.truncated
        so_far = workers.so_far + after.reward
        episodes = Episodes(
            episodes.count + done.sum(),
            episodes.returns + jnp.where(done, so_far, 0.0).sum(),
            jnp.maximum(episodes.best, jnp.where(done, so_far, -jnp.inf).max()),
        )

        def resets() -> tuple[Array, Any]:
            fresh = jax.vmap(reset, (0, 0, None))(jax.random.split(anew, count), after.state, params)
            return jax.tree.map(lambda x, y: _where(done, x, y), fresh, (after.observation, after.state))

        # Resets cost as much as steps, and in most steps no episode ends.
        observation, state = jax.lax.cond(done.any(), resets, lambda: (after.observation, after.state))
        nothing = jnp.zeros(count)
        bootstrap = nothing
        if value is not None:
            later = jax.lax.cond(after.truncated.any(), value, lambda _: nothing, after.observation)
            bootstrap = jnp.where(after.truncated, later, 0.0)
        seen = Trajectory(
            workers.observation, action, after.reward, after.terminated, after.truncated, bootstrap, extra
        )
        return (WorkerStates(state, observation, jnp.where(done, 0.0, so_far)), episodes), seen

    first = Episodes(jnp.float32(0), jnp.float32(0), jnp.float32(-jnp.inf))
    (workers, episodes), trajectory = jax.lax.scan(step, (workers, first), jax.random.split(key, steps))
    return workers, trajectory, episodes


def evaluate(env: Environment, params: Any, policy: Policy, key: Any, episodes: int) -> Float32[Array, ""]:
    """Return a policy's mean return over whole episodes, undiscounted: each worker plays one to its end."""
    begin, play = jax.random.split(key)
    workers = start(env, params, begin, episodes)

    def unfinished(carry: Any) -> Array:
        time, _, _, over = carry
        return (time < env.max_steps) & ~over.all()

    def step(carry: Any) -> Any:
        time, state, workers, over = carry
        act, advance = jax.random.split(jax.random.fold_in(play, time))
        action, _ = policy(act, workers.observation)
        after = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(advance, episodes), state, action, params)
        so_far = workers.so_far + jnp.where(over, 0.0, after.reward)
        over = over | after.terminated | after.truncated
        return time + 1, after.state, WorkerStates((), after.observation, so_far), over

    first = (jnp.int32(0), workers.state, workers._replace(state=()), jnp.zeros(episodes, bool))
    *_, workers, _ = jax.lax.while_loop(unfinished, step, first)
    return workers.so_far.mean()


def _where(mask: Bool[Array, " workers"], x: Any, y: Any) -> Any:
    """Return x where the mask holds, else y, for arrays of ``(workers, ...)``."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (jnp.ndim(x) - 1)), x, y)
