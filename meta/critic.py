"""The critic of an agent whose rule is improved by meta-gradients: values of states, from which advantages come.

The rule never sees it; it says only which of the last rollout's actions were better than expected.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float32

from ..envs.environment import Discrete
from ..envs.rollout import Trajectory
from .advantages import generalized_advantages
from .agents import Agent
from .lpg_learner import LpgLearner
from .meta_settings import MetaSettings

ADAM_RATE = 1e-2
"""Learning rate of critics that learn by Adam."""


class CriticState(NamedTuple):
    """Parameters, and the optimizer's state; empty where steps are plain."""

    params: Any
    optimizer: Any


class Estimates(NamedTuple):
    """What a critic says of a rollout, ``(steps, workers)`` each; the targets are lambda-returns."""

    values: Float32[Array, "steps workers"]
    advantages: Float32[Array, "steps workers"]

    @property
    def targets(self) -> Float32[Array, "steps workers"]:
        """What the values should have been."""
        return self.values + self.advantages


class Critic:
    """Critics of one kind of agent.

    Args:
        learner: the kind of agent.
        settings: settings of the meta-gradient.
    """

    def __init__(self, learner: LpgLearner, settings: MetaSettings) -> None:
        env, own = learner.env, learner.settings
        states = env.observations.count if isinstance(env.observations, Discrete) else None
        self._net = Agent((("value", 1),), states, own.widths, own.activation)
        self._example, self._gamma, self._settings = learner.example(), own.gamma, settings
        plain = states is not None and settings.critic == "every-rollout"
        self._adam = None if plain else optax.adam(ADAM_RATE)

    def init(self, key: Any) -> CriticState:
        """Return a newborn's critic."""
        params = self._net.init(key, self._example)
        return CriticState(params, self._adam.init(params) if self._adam else ())

    def value(self, critic: CriticState, observation: Array) -> Array:
        """Return the values of observations (batch, ...)."""
        return self._value(critic.params, observation)

    def _value(self, params: Any, observation: Array) -> Array:
        outputs: Any = self._net.apply(params, observation)
        return outputs["value"][..., 0]

    def learn(self, critic: CriticState, seen: Trajectory, after: Array) -> tuple[CriticState, Estimates]:
        """Return the critic after one step on a rollout, and what it said before.

        Args:
            critic: the critic.
            seen: the rollout.
            after: what the workers see after it.
        """
        flat = seen.observation.reshape((-1, *seen.observation.shape[2:]))
        values = self.value(critic, flat).reshape(seen.reward.shape)
        last = self.value(critic, after)
        estimates = Estimates(
            values, generalized_advantages(seen, values, last, self._gamma, self._settings.gae_lambda)
        )
        targets = estimates.targets.reshape(-1)
        slope = jax.grad(lambda theta: jnp.square(self._value(theta, flat) - targets).mean())(critic.params)
        if self._adam:
            change, state = self._adam.update(slope, critic.optimizer)
            return CriticState(optax.apply_updates(critic.params, change), state), estimates
        # A state's value goes to the mean of its targets at most: where agents stand still, most samples are of one
        # state, and a step of the whole rate would go far beyond.
        share = jax.grad(lambda theta: self._value(theta, flat).mean())(critic.params)
        rate = self._settings.critic_rate
        moved = jax.tree.map(
            lambda w, g, n: w - rate * g / jnp.maximum(1.0, 2.0 * rate * n), critic.params, slope, share
        )
        return CriticState(moved, ()), estimates
