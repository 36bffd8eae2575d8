"""Meta-gradients for LPG (Oh et al. 2020): how the worth of the last policies depends on the rule, through K updates.

Agents live on between meta-steps. In a meta-step, each agent makes K updates by the rule, then acts once more; the
rule's gradient is that of the policy-gradient loss of these last rollouts, averaged over agents (advantages come from
the agent's own critic, which learns beside it). The window is truncated: what comes after K updates is not seen, nor is
the end of a lifetime. The agents are vmapped in chunks inside one differentiated mean, so that a chunk's backward pass
is a few large products; the devices share the chunks, whose results are averaged in a fixed order, so that the number
of devices changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float32, Int32

from ..envs.rollout import Episodes, WorkerStates, evaluate, rollout, start
from ..programs.policies import entropy, log_probability
from .advantages import generalized_advantages
from .agents import agent_for
from .life_figures import LastRollout, LifeFigure
from .lifetime import Clock
from .lpg_learner import LpgAgent, LpgLearner


@dataclass(frozen=True)
class MetaSettings:
    """Settings of the meta-gradient; the defaults are the public ones.

    Attributes:
        updates: K, the updates of an agent in a meta-step.
        gae_lambda: lambda of the last rollouts' advantages.
        critic_rate: learning rate of the critics (Adam).
        policy_entropy: weight of the policies' entropy, which is to stay high.
        prediction_entropy: weight of the predictions' entropy.
        action_size: weight of the mean square of the rule's pull on actions.
        prediction_size: weight of the mean square of its logarithmic pull on predictions.
        chunk: agents that are differentiated together on a device; this bounds memory.
    """

    updates: int = 5
    gae_lambda: float = 0.95
    critic_rate: float = 1e-2
    policy_entropy: float = 5e-2
    prediction_entropy: float = 1e-3
    action_size: float = 5e-3
    prediction_size: float = 1e-3
    chunk: int = 4


class Living(NamedTuple):
    """Agents in the middle of their lives; each field has the axis ``(agents,)`` first.

    Attributes:
        agent: parameters and optimizer.
        critic: parameters of the value function.
        critic_state: state of the critic's optimizer.
        workers: states of the agents' environments.
        level: parameters of the environment.
        clock: updates done and to do.
        best: highest return of an episode so far; minus infinity before the first.
    """

    agent: LpgAgent
    critic: Any
    critic_state: Any
    workers: WorkerStates
    level: Any
    clock: Clock
    best: Float32[Array, ""]


class Newborn(NamedTuple):
    """Which places are vacant, and what the agents born there get, ``(agents,)``.

    Attributes:
        vacant: whether the place is vacant.
        level: parameters of the environment.
        total: number of updates in the life.
    """

    vacant: Bool[np.ndarray, " agents"]
    level: Any
    total: Int32[np.ndarray, " agents"]


class Seen(NamedTuple):
    """What a meta-step saw of each agent, ``(agents,)``.

    Attributes:
        episodes: the episodes that ended.
        over: whether its life ended with the step; a diverged agent's ends at once.
        sound: whether its parameters are finite.
        best: highest return of an episode of its life.
        figures: figures of its last rollout, by name.
    """

    episodes: Episodes
    over: Bool[Array, " agents"]
    sound: Bool[Array, " agents"]
    best: Float32[Array, " agents"]
    figures: Mapping[str, Float32[Array, " agents"]]


class MetaGradient:
    """Meta-steps of one kind of agent.

    Args:
        learner: the kind of agent.
        rate: learning rate of the agents.
        settings: settings of the meta-gradient.
        devices: devices that share the chunks; all by default.
        figures: functions that compute `Seen.figures` from an agent's last rollout, by name.
    """

    def __init__(
        self,
        learner: LpgLearner,
        rate: float,
        settings: MetaSettings,
        devices: list[Any] | None = None,
        figures: Mapping[str, LifeFigure] | None = None,
    ) -> None:
        self._devices, self._figures = devices or jax.devices(), dict(figures or {})
        self.learner, self.rate, self.settings = learner, rate, settings
        own = learner.settings
        self._critic = agent_for(learner.env, own.widths, own.activation, value=1)
        self._optimizer = optax.adam(settings.critic_rate)
        self._step = jax.jit(self._shared_step, static_argnums=0)
        self.born = jax.jit(jax.vmap(self._born))
        self.judged = jax.jit(self._judged, static_argnames="episodes")

    def _born(self, key: Any, level: Any, total: Any) -> Living:
        """Return a newborn, whose life is a whole number of meta-steps: `total` updates, rounded up."""
        first, second, begin = jax.random.split(key, 3)
        total = -(-total // self.settings.updates) * self.settings.updates  # whole meta-steps
        agent = self.learner.init(first)
        critic = self._critic.init(second, self.learner.example())
        workers = start(self.learner.env, level, begin, self.learner.workers)
        clock = Clock(jnp.int32(0), total)
        return Living(agent, critic, self._optimizer.init(critic), workers, level, clock, jnp.float32(-jnp.inf))

    def _judged(self, living: Living, which: Bool[Array, " agents"], key: Any, episodes: int) -> Array:
        """Return the mean return of whole episodes by the policies of some agents, NaN for the others."""

        def judged(row: tuple[Any, Any, Any]) -> Array:
            agent, level, key = row
            return evaluate(self.learner.env, level, self.learner.policy(agent), key, episodes)

        rows = (living.agent, living.level, jax.random.split(key, len(which)))
        return jax.lax.map(lambda x: jax.lax.cond(x[0], judged, lambda _: jnp.float32(jnp.nan), x[1]), (which, rows))

    def _value(self, critic: Any, observation: Array) -> Array:
        outputs: Any = self._critic.apply(critic, observation)
        return outputs["value"][..., 0]

    def _live(self, rule: Any, living: Living, key: Any) -> tuple[Array, tuple[Living, Seen]]:
        """Return an agent's share of the meta-loss, the agent afterwards, and what was seen in all its rollouts."""
        settings, learner = self.settings, self.learner

        def act(agent: LpgAgent, workers: WorkerStates, key: Any, value: Any = None) -> Any:
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
        critic = optax.apply_updates(critic, change)
        episodes = Episodes(
            ended.count.sum() + last.count, ended.returns.sum() + last.returns, jnp.maximum(ended.best.max(), last.best)
        )
        best = jnp.maximum(living.best, episodes.best)
        lived = Living(agent, critic, critic_state, workers, living.level, clock, best)
        sound = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves((agent.params, critic))]).all()
        # An agent that diverged makes room too, or its NaN would be in every gradient to come.
        over = (clock.done >= clock.total) | ~sound
        figures = {}
        if self._figures:
            entropies = jax.lax.stop_gradient(entropy(policy)).reshape(seen.reward.shape)
            own = LastRollout(advantages, values, seen.reward, entropies)
            figures = {name: figure(own) for name, figure in self._figures.items()}
        return meta + regular.mean(), (lived, Seen(episodes, over, sound, best, figures))

    def _live_anew(self, rule: Any, living: Living, newborn: Newborn, key: Any) -> tuple[Array, tuple[Living, Seen]]:
        """Do as `_live`, with a newborn agent if the place is vacant."""
        born, live = jax.random.split(jax.random.wrap_key_data(key))
        fresh = self._born(born, newborn.level, newborn.total)
        living = jax.tree.map(lambda old, new: jnp.where(newborn.vacant, new, old), living, fresh)
        return self._live(rule, living, live)

    def step(self, rule: Any, living: Living, newborn: Newborn, key: Any) -> tuple[Any, Living, Seen]:
        """Return the rule's gradient, the agents after a meta-step, and what was seen of them.

        A chunk in which an agent diverged has no share in the gradient; if all chunks have one, it is NaN.

        Args:
            rule: the rule's parameters, a pytree.
            living: the agents.
            newborn: the agents that take vacant places before the step.
            key: consumed.
        """
        count = len(newborn.vacant)
        chunks = count // math.gcd(count, self.settings.chunk)
        mesh = Mesh(np.array(self._devices[: math.gcd(chunks, len(self._devices))]), ("agents",))
        keys = jax.random.key_data(jax.random.split(key, count))
        # Always placed in the same way, since a new placement would compile again.
        rule = jax.device_put(rule, NamedSharding(mesh, PartitionSpec()))
        spread = jax.device_put((living, newborn, keys), NamedSharding(mesh, PartitionSpec("agents")))
        return self._step(mesh, rule, *spread)

    def _shared_step(self, mesh: Mesh, rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
        count = len(keys)
        size = math.gcd(count, self.settings.chunk)
        chunks = count // size

        def loss(rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
            losses, rest = jax.vmap(self._live_anew, (None, 0, 0, 0))(rule, living, newborn, keys)
            return losses.mean(), rest

        def share(rule: Any, parts: Any) -> Any:
            parts = jax.tree.map(lambda x: x.reshape((-1, size, *x.shape[1:])), parts)
            gradients, rest = jax.lax.map(lambda part: jax.grad(loss, has_aux=True)(rule, *part), parts)
            return gradients, jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), rest)

        spread = PartitionSpec("agents")
        run = jax.shard_map(share, mesh=mesh, in_specs=(PartitionSpec(), spread), out_specs=spread, check_vma=False)
        gradients, (lived, seen) = run(rule, (living, newborn, keys))
        finite = jnp.stack([jnp.isfinite(x).reshape(chunks, -1).all(axis=1) for x in jax.tree.leaves(gradients)])
        whole = finite.all(axis=0)

        def mean(x: Array) -> Array:
            kept = jnp.where(whole.reshape((-1,) + (1,) * (x.ndim - 1)), x, 0.0)
            return kept.sum(axis=0) / jnp.where(whole.any(), whole.sum(), jnp.nan)

        return jax.tree.map(mean, gradients), lived, seen
