"""Agents trained by LPG or TA-LPG: a policy and a prediction whose meaning the rule has learned; no value function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ..envs.environment import Discrete, Environment
from ..envs.rollout import Episodes, Policy, Trajectory, WorkerStates, rollout
from ..programs.lpg import lpg_loss, lpg_targets
from ..programs.policies import entropy, log_probability
from .agents import agent_for, bounded, sample
from .gru_gradient import differentiable_gru_states
from .lifetime import Clock


@dataclass(frozen=True)
class LpgSettings:
    """How an agent is trained by LPG; the defaults are the public settings, but for the last two.

    These are part of a rule, which works as it was trained: searches set them as `PUBLISHED_FORM` says, and rule files
    that do not mention them were found without.

    Attributes:
        workers: copies of the environment.
        steps: steps of each copy between updates.
        gamma: discount, an input of the rule.
        classes: number of classes of the prediction y.
        prediction_weight: alpha_y, the weight of the predictions' part of the update.
        max_gradient_norm: norm that gradients are clipped to.
        widths: hidden layers, where observations are not numbers of states.
        activation: "tanh" or "relu".
        mask_ends: whether the rule does not see y after an episode's end.
        prediction_start: deviation of the logits of y at first in tables of states, times the root of their number;
            at 0 y starts uniform.
    """

    workers: int = 64
    steps: int = 20
    gamma: float = 0.99
    classes: int = 8
    prediction_weight: float = 0.5
    max_gradient_norm: float = 0.5
    widths: tuple[int, ...] = (32, 32)
    activation: str = "relu"
    mask_ends: bool = False
    prediction_start: float = 0.0


PUBLISHED_FORM = {"mask_ends": True, "prediction_start": 1.0}
"""How LPG was published (Oh et al. 2020, and the public code of Jackson et al. 2023)."""


class LpgAgent(NamedTuple):
    """Parameters, and the optimizer's state."""

    params: Any
    optimizer: Any


class LpgLearner:
    """The `Learner` of LPG. Tables of states are trained by plain gradient steps, networks by Adam, as published.

    Args:
        env: the environment.
        settings: settings of the loop.
    """

    def __init__(self, env: Environment, settings: LpgSettings) -> None:
        self.env = env
        self.settings = settings
        self.workers, self.steps = settings.workers, settings.steps
        scattered = {"y": settings.prediction_start}
        self._net = agent_for(env, settings.widths, settings.activation, scattered, y=settings.classes)
        tabular = isinstance(env.observations, Discrete)
        clip = optax.clip_by_global_norm(settings.max_gradient_norm)
        self._optimizer = optax.chain(clip, optax.identity() if tabular else optax.scale_by_adam())
        self._example = jax.eval_shape(lambda key: env.reset(key, env.params)[0], jax.random.key(0))

    def example(self) -> Array:
        """Return one observation of zeros, with a batch axis."""
        return jnp.zeros((1, *self._example.shape), self._example.dtype)

    def init(self, key: Any) -> LpgAgent:
        """Return a newborn agent."""
        params = self._net.init(key, self.example())
        return LpgAgent(params, self._optimizer.init(params))

    def outputs(self, params: Any, observation: Array) -> tuple[Any, Array]:
        """Return policy and logits of y for observations (batch, ...)."""
        outputs: Any = self._net.apply(params, observation)
        return outputs["policy"], outputs["y"]

    def policy(self, agent: LpgAgent) -> Policy:
        """Return how the agent acts; it keeps the action as drawn."""

        def act(key: Any, observation: Array) -> tuple[Array, Any]:
            action = sample(key, self.outputs(agent.params, observation)[0])
            return bounded(self.env, action), action

        return act

    def update(
        self, agent: LpgAgent, rule: Any, hyper: Any, params: Any, workers: WorkerStates, clock: Clock, key: Any
    ) -> tuple[LpgAgent, WorkerStates, Episodes, dict[str, Array]]:
        """Act, compute the rule's targets, and make one gradient step. `hyper` is the learning rate."""
        workers, seen, episodes = rollout(self.env, params, self.policy(agent), workers, key, self.steps)
        agent, figures, _ = self.learn(agent, rule, hyper, seen, workers.observation, clock)
        return agent, workers, episodes, figures

    def learn(
        self, agent: LpgAgent, rule: Any, rate: Any, seen: Trajectory, after: Array, clock: Clock
    ) -> tuple[LpgAgent, dict[str, Array], tuple[Any, Array, Array, Array]]:
        """Return the agent after one update from a rollout, figures, and (policy, logits of y, more, target).

        Differentiable in the rule, and in the agent's parameters, which the rule sees through policy and prediction.
        """
        action, observation, gamma = _flat(seen.extra), _flat(seen.observation), self.settings.gamma
        (policy, logits), pull_back = jax.vjp(lambda theta: self.outputs(theta, observation), agent.params)
        probability = jnp.exp(log_probability(policy, action))
        shape = seen.reward.shape
        y = jax.nn.softmax(logits).reshape((*shape, -1))
        y_last = jax.nn.softmax(self.outputs(agent.params, after)[1])
        wanted = lpg_targets(
            rule,
            seen.reward,
            seen.done,
            gamma,
            probability.reshape(shape),
            y,
            y_last,
            clock.progress,
            clock.total,
            self.settings.mask_ends,
            differentiable_gru_states,
        )
        more, target = map(_flat, wanted)
        weight = self.settings.prediction_weight

        def loss(outputs: tuple[Any, Array]) -> Array:
            return lpg_loss(outputs[0], outputs[1], action, more, target, weight)

        slopes = jax.grad(loss)((policy, logits))
        (gradients,) = pull_back(slopes)
        updates, state = self._optimizer.update(gradients, agent.optimizer)
        theta = jax.tree.map(lambda w, u: w - rate * u, agent.params, updates)
        change = log_probability(self.outputs(theta, observation)[0], action) - jnp.log(probability)
        figures = {
            "entropy": entropy(policy).mean(),
            "update size": (jnp.exp(change) - 1.0 - change).mean(),
            "y entropy": entropy(logits).mean(),
            "y spread": jnp.sqrt(_flat(y).var(axis=0).mean()),
            "clipped": (optax.global_norm(gradients) > self.settings.max_gradient_norm).astype(jnp.float32),
        }
        return LpgAgent(theta, state), figures, (policy, logits, more, target)


def _flat(x: Array) -> Array:
    return x.reshape((-1, *x.shape[2:]))
