"""Meta-gradients for LPG (Oh et al. 2020): through K updates of many agents, to what the last policies are worth.

Agents live on between meta-steps. In one, each makes K updates by the rule, then acts once more; the rule's gradient is
that of the policy-gradient loss of these last rollouts (advantages by a critic of the agent's own, which learns beside
it), averaged over agents. The window is truncated: what comes after K updates is not seen, so neither is a lifetime's
end. The agents are vmapped in chunks inside one differentiated mean, so a chunk's backward pass is few large products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int32

from ..envs.rollout import Episodes, Workers, rollout, start
from ..programs.policies import entropy, log_probability
from .advantages import generalized_advantages
from .agents import agent_for
from .lifetime import Clock
from .lpg_learner import LpgAgent, LpgLearner


@dataclass(frozen=True)
class MetaSettings:
    """Settings of the meta-gradient; the defaults are the public ones.

    Attributes:
        updates: K, of an agent in a meta-step.
        gae_lambda: of the last rollouts' advantages.
        critic_rate: learning rate of the critics (Adam).
        policy_entropy: weight of the policies' entropy, which is to stay high.
        prediction_entropy: weight of the predictions' entropy.
        action_size: weight of the mean square of the rule's pull on actions.
        prediction_size: weight of the mean square of its logarithmic pull on predictions.
        chunk: agents that are differentiated together.
    """

    updates: int = 5
    gae_lambda: float = 0.95
    critic_rate: float = 1e-2
    policy_entropy: float = 5e-2
    prediction_entropy: float = 1e-3
    action_size: float = 5e-3
    prediction_size: float = 1e-3
    chunk: int = 8


class Living(NamedTuple):
    """Agents in the middle of their lives; each field has the axis ``(agents,)`` first.

    Attributes:
        agent: parameters and optimizer.
        critic: parameters of the value function.
        critic_state: of its optimizer.
        workers: their environments.
        level: parameters of the environment.
        clock: updates done and to do.
    """

    agent: LpgAgent
    critic: Any
    critic_state: Any
    workers: Workers
    level: Any
    clock: Clock


class MetaGradient:
    """Meta-steps of one kind of agent.

    Args:
        learner: the kind of agent.
        rate: learning rate of the agents.
        settings: of the meta-gradient.
    """

    def __init__(self, learner: LpgLearner, rate: float, settings: MetaSettings) -> None:
        self.learner, self.rate, self.settings = learner, rate, settings
        own = learner.settings
        self._critic = agent_for(learner.env, own.widths, own.activation, value=1)
        self._optimizer = optax.adam(settings.critic_rate)
        self.step = jax.jit(self._step)
        self.born = jax.jit(jax.vmap(self._born))

    def _born(self, key: Any, level: Any, total: Int32[Array, ""]) -> Living:
        first, second, begin = jax.random.split(key, 3)
        total = -(-total // self.settings.updates) * self.settings.updates  # whole meta-steps
        agent = self.learner.init(first)
        critic = self._critic.init(second, self.learner.example())
        workers = start(self.learner.env, level, begin, self.learner.workers)
        return Living(agent, critic, self._optimizer.init(critic), workers, level, Clock(jnp.int32(0), total))

    def _value(self, critic: Any, observation: Array) -> Array:
        outputs: Any = self._critic.apply(critic, observation)
        return outputs["value"][..., 0]

    def _live(self, rule: Any, living: Living, key: Any) -> tuple[Array, tuple[Living, Episodes]]:
        """Return an agent's share of the meta-loss, and what becomes of it; the episodes are those of all rollouts."""
        settings, learner = self.settings, self.learner

        def act(agent: LpgAgent, workers: Workers, key: Any, value: Any = None) -> Any:
            still = jax.tree.map(jax.lax.stop_gradient, agent)  # actions are samples: nothing flows through them
            moved = rollout(learner.env, living.level, learner.policy(still), workers, key, learner.steps, value)
            return jax.tree.map(jax.lax.stop_gradient, moved)

        def update(carry: Any, i: Array) -> Any:
            agent, workers = carry
            workers, seen, ended = act(agent, workers, jax.random.fold_in(key, i))
            clock = Clock(living.clock.done + i, living.clock.total)
            agent, _, (policy, logits, more, target) = learner.learn(
                agent, rule, self.rate, seen, workers.observation, clock
            )
            regular = (
                settings.action_size * jnp.square(more).mean()
                + settings.prediction_size * jnp.square(jnp.log(target + 1e-8)).mean()
                - settings.policy_entropy * entropy(policy).mean()
                - settings.prediction_entropy * entropy(logits).mean()
            )
            return (agent, workers), (regular, ended)

        (agent, workers), (regular, ended) = jax.lax.scan(
            update, (living.agent, living.workers), jnp.arange(settings.updates)
        )
        critic = living.critic
        value = lambda observation: self._value(critic, observation)  # noqa: E731
        workers, seen, last = act(agent, workers, jax.random.fold_in(key, settings.updates), value)
        flat = seen.observation.reshape((-1, *seen.observation.shape[2:]))
        values = value(flat).reshape(seen.reward.shape)
        gamma = learner.settings.gamma
        after = value(workers.observation)
        advantages = jax.lax.stop_gradient(generalized_advantages(seen, values, after, gamma, settings.gae_lambda))
        policy, _ = learner.outputs(agent.params, flat)
        action = seen.extra.reshape((-1, *seen.extra.shape[2:]))
        meta = -(log_probability(policy, action) * advantages.reshape(-1)).mean()
        targets = jax.lax.stop_gradient(advantages + values).reshape(-1)
        slope = jax.grad(lambda theta: jnp.square(self._value(theta, flat) - targets).mean())(critic)
        change, critic_state = self._optimizer.update(slope, living.critic_state)
        clock = Clock(living.clock.done + settings.updates, living.clock.total)
        # The next meta-step's gradient begins here: nothing flows on.
        agent = jax.tree.map(jax.lax.stop_gradient, agent)
        lived = Living(agent, optax.apply_updates(critic, change), critic_state, workers, living.level, clock)
        episodes = Episodes(ended.count.sum() + last.count, ended.returns.sum() + last.returns)
        return meta + regular.mean(), (lived, episodes)

    def _step(self, rule: Any, living: Living, newborn: Living, key: Any) -> tuple[Any, Living, Episodes, Array]:
        """Return the rule's gradient, the agents after a meta-step, episodes that ended, and which lives did.

        Agents whose lifetime is over are replaced by the newborn in their place.
        """
        count = len(living.clock.done)
        keys = jax.random.split(key, count)
        size = math.gcd(count, self.settings.chunk)

        def chunk(rule: Any, living: Living, keys: Any) -> Any:
            losses, rest = jax.vmap(self._live, (None, 0, 0))(rule, living, keys)
            return losses.mean(), rest

        parts = jax.tree.map(lambda x: x.reshape((count // size, size, *x.shape[1:])), (living, keys))
        gradients, (lived, episodes) = jax.lax.map(lambda part: jax.grad(chunk, has_aux=True)(rule, *part), parts)
        lived, episodes = jax.tree.map(lambda x: x.reshape((count, *x.shape[2:])), (lived, episodes))
        gradient = jax.tree.map(lambda x: x.mean(0), gradients)
        sound = [
            jnp.isfinite(x).reshape(count, -1).all(axis=1) for x in jax.tree.leaves((lived.agent.params, lived.critic))
        ]
        # An agent that diverged makes room too, or its NaN would be in every gradient to come.
        over = (lived.clock.done >= lived.clock.total) | ~jnp.stack(sound).all(axis=0)

        def chosen(old: Array, new: Array) -> Array:
            return jnp.where(over.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        return gradient, jax.tree.map(chosen, lived, newborn), episodes, over
