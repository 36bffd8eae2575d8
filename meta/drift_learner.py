"""Agents trained in PPO's loop with any drift function: PPO, LPO, TA-LPO; A2C and REINFORCE as special cases."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ..envs.environment import Environment
from ..envs.rollout import Episodes, Policy, WorkerStates, rollout
from ..programs.drift import drift_loss
from ..programs.policies import entropy, log_probability
from .advantages import generalized_advantages
from .agents import Agent, agent_for, bounded, sample
from .lifetime import Clock
from .normalization import Moments, discounted

Drift = Callable[[Any, Array, Array, Array, Array], Array]
"""Function of (the rule's parameters, ratio, log ratio, advantage, progress) to the drift, elementwise."""


@dataclass(frozen=True)
class DriftSettings:
    """How an agent is trained around the drift; the defaults are the reference settings of PPO.

    Attributes:
        workers: copies of the environment.
        steps: steps of each copy between updates.
        epochs: passes over the data of a rollout.
        minibatches: parts of a pass; each gives one gradient step.
        gamma: discount.
        gae_lambda: lambda of generalized advantage estimation.
        baseline: whether values are learned and subtracted from returns.
        value_coefficient: weight of the values' loss.
        anneal: whether the learning rate falls linearly to zero.
        normalize_advantages: whether a minibatch's advantages have mean 0 and variance 1.
        max_gradient_norm: norm that gradients are clipped to.
        optimizer: "adam", or "sgd" for plain gradient steps.
        widths: hidden layers of policy and value.
        activation: "tanh" or "relu".
        input_bound: what the inputs of a learned drift are clipped to; 0 for none. Part of a rule, see `CLIPPED_FORM`.
    """

    workers: int = 64
    steps: int = 128
    epochs: int = 4
    minibatches: int = 8
    gamma: float = 0.99
    gae_lambda: float = 0.95
    baseline: bool = True
    value_coefficient: float = 0.5
    anneal: bool = True
    normalize_advantages: bool = True
    max_gradient_norm: float = 0.5
    optimizer: str = "adam"
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    input_bound: float = 0.0


CLIPPED_FORM = {"input_bound": 2.0}
"""How LPO's drift was searched (Lu et al. 2022, public code); rule files that do not mention it were found without."""


class Hyper(NamedTuple):
    """An agent's hyperparameters that are data: learning rate, and weight of the entropy bonus."""

    learning_rate: Any
    entropy: Any


class DriftAgent(NamedTuple):
    """Parameters, the optimizer's state, and the running moments of observations and discounted rewards."""

    params: Any
    optimizer: Any
    observations: Moments
    rewards: Moments
    discounted: Array


class DriftLearner:
    """The `Learner` of PPO's loop.

    Args:
        env: the environment.
        drift: the drift function.
        settings: settings of the loop.
    """

    def __init__(self, env: Environment, drift: Drift, settings: DriftSettings) -> None:
        self.env = env
        self.drift = drift
        self.settings = settings
        self.workers, self.steps = settings.workers, settings.steps
        self._net: Agent = agent_for(env, settings.widths, settings.activation, value=1)
        steps = optax.scale_by_adam(eps=1e-5) if settings.optimizer == "adam" else optax.identity()
        self._optimizer = optax.chain(optax.clip_by_global_norm(settings.max_gradient_norm), steps)
        self._example = jax.eval_shape(lambda key: env.reset(key, env.params)[0], jax.random.key(0))

    def init(self, key: Any) -> DriftAgent:
        """Return a newborn agent."""
        params = self._net.init(key, jnp.zeros((1, *self._example.shape), self._example.dtype))
        shape = self._example.shape if self.env.normalize else ()
        moments = Moments.of(shape), Moments.of(())
        return DriftAgent(params, self._optimizer.init(params), *moments, jnp.zeros(self.workers))

    def _outputs(self, agent: DriftAgent, params: Any, observation: Array) -> tuple[Any, Array]:
        """Return policy and values, of observations as the environment gives them."""
        if self.env.normalize:
            observation = agent.observations.normalized(observation)
        outputs: Any = self._net.apply(params, observation)
        return outputs["policy"], outputs["value"][..., 0]

    def policy(self, agent: DriftAgent) -> Policy:
        """Return how the agent acts; it keeps the action as drawn, its log-probability, and the value."""

        def act(key: Any, observation: Array) -> tuple[Array, Any]:
            policy, value = self._outputs(agent, agent.params, observation)
            action = sample(key, policy)
            return bounded(self.env, action), (action, log_probability(policy, action), value)

        return act

    def update(
        self, agent: DriftAgent, rule: Any, hyper: Hyper, params: Any, workers: WorkerStates, clock: Clock, key: Any
    ) -> tuple[DriftAgent, WorkerStates, Episodes, dict[str, Array]]:
        """Act, estimate advantages, and make the epochs' gradient steps."""
        return self.update_and_samples(agent, rule, hyper, params, workers, clock, key)[:4]

    def update_and_samples(
        self, agent: DriftAgent, rule: Any, hyper: Hyper, params: Any, workers: WorkerStates, clock: Clock, key: Any
    ) -> tuple[DriftAgent, WorkerStates, Episodes, dict[str, Array], tuple[Array, Array]]:
        """Do as `update`, and return also the log ratios and advantages that the drift saw, (epochs, samples)."""
        settings = self.settings
        act, learn = jax.random.split(key)
        value = functools.partial(self._value, agent)
        workers, seen, episodes = rollout(
            self.env, params, self.policy(agent), workers, act, self.steps, value if settings.baseline else None
        )
        action, log_old, values = seen.extra
        rewards, sums = agent.rewards, agent.discounted
        if self.env.normalize:
            totals, sums = discounted(seen.reward, seen.done, sums, settings.gamma)
            rewards = rewards.updated(totals)
            seen = seen._replace(reward=seen.reward / jnp.sqrt(rewards.variance + 1e-8))
        last = value(workers.observation)
        if not settings.baseline:
            values, last = jnp.zeros_like(values), jnp.zeros_like(last)
        advantages = generalized_advantages(seen, values, last, settings.gamma, settings.gae_lambda)
        batch = (seen.observation, action, log_old, advantages, advantages + values)
        batch = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), batch)
        rate = hyper.learning_rate * (1.0 - clock.progress if settings.anneal else 1.0)

        def loss(theta: Any, part: Any) -> tuple[Array, Any]:
            observation, action, log_old, advantage, target = part
            if settings.normalize_advantages:
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            policy, value = self._outputs(agent, theta, observation)
            drift = lambda r, log_r, a: self.drift(rule, r, log_r, a, clock.progress)  # noqa: E731
            total, log_ratio = drift_loss(policy, action, log_old, advantage, drift)
            bonus = entropy(policy).mean()
            total -= hyper.entropy * bonus
            if settings.baseline:
                total += settings.value_coefficient * jnp.square(value - target).mean()
            # The estimator of KL(old, new) that is never negative (Schulman 2020).
            size = (jnp.exp(log_ratio) - 1.0 - log_ratio).mean()
            return total, ({"entropy": bonus, "update size": size}, (log_ratio, advantage))

        def descend(carry: Any, part: Any) -> tuple[Any, Any]:
            theta, state = carry
            gradients, kept = jax.grad(loss, has_aux=True)(theta, part)
            updates, state = self._optimizer.update(gradients, state)
            (figures, samples), norm = kept, optax.global_norm(gradients)
            figures |= {"clipped": (norm > settings.max_gradient_norm).astype(jnp.float32)}
            return (jax.tree.map(lambda w, u: w - rate * u, theta, updates), state), (figures, samples)

        def epoch(carry: Any, key: Any) -> tuple[Any, Any]:
            if settings.minibatches == 1:
                carry, kept = descend(carry, batch)
                return carry, jax.tree.map(lambda x: x[None], kept)
            order = jax.random.permutation(key, self.workers * self.steps)
            shape = (settings.minibatches, -1)
            parts = jax.tree.map(lambda x: x[order].reshape((*shape, *x.shape[1:])), batch)
            return jax.lax.scan(descend, carry, parts)

        (theta, state), (figures, samples) = jax.lax.scan(
            epoch, (agent.params, agent.optimizer), jax.random.split(learn, settings.epochs)
        )
        observations = agent.observations
        if self.env.normalize:
            observations = observations.updated(seen.observation)
        figures = jax.tree.map(lambda x: x[-1].mean(), figures)
        figures |= {"target variance": (advantages + values).var(), "unexplained variance": advantages.var()}
        agent = DriftAgent(theta, state, observations, rewards, sums)
        samples = jax.tree.map(lambda x: x.reshape(settings.epochs, -1), samples)
        return agent, workers, episodes, figures, samples

    def _value(self, agent: DriftAgent, observation: Array) -> Array:
        return self._outputs(agent, agent.params, observation)[1]
