"""Meta-gradients for LPG (Oh et al. 2020): how the worth of the last policies depends on the rule, through K updates.

Agents live on between meta-steps. In a meta-step, each agent makes K updates by the rule, then acts once more; the
rule's gradient is that of the policy-gradient loss of these last rollouts, averaged over agents (advantages come from
the agent's own critic, which learns beside it, and are normalized for each agent). The window is truncated: what comes
after K updates is not seen, nor is the end of a lifetime. The agents are vmapped in chunks inside one differentiated
mean, so that a chunk's backward pass is a few large products; the devices share the chunks, whose results are averaged
in a fixed order, so that the number of devices changes nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float32, Int32

from ..envs.quick_compile import quick_jit
from ..envs.rollout import Episodes, WorkerStates, evaluate, rollout, start
from ..programs.policies import entropy, log_probability
from .critic import Critic, CriticState, Estimates
from .hypers import log_uniform
from .life_figures import LastRollout, LifeFigure
from .lifetime import Clock
from .lpg_learner import LpgAgent, LpgLearner
from .meta_settings import MetaSettings


class Living(NamedTuple):
    """Agents in the middle of their lives; each field has the axis ``(agents,)`` first.

    Attributes:
        agent: parameters and optimizer.
        rate: the agent's learning rate.
        critic: its value function.
        moments: state of what scales its share of the meta-gradient; empty where that is no Adam.
        workers: states of the agents' environments.
        level: parameters of the environment.
        clock: updates done and to do.
        best: highest return of an episode so far; minus infinity before the first.
    """

    agent: LpgAgent
    rate: Float32[Array, ""]
    critic: CriticState
    moments: Any
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
        signs: what tells whether all its parts do something; see `signs_of_life`.
    """

    episodes: Episodes
    over: Bool[Array, " agents"]
    sound: Bool[Array, " agents"]
    best: Float32[Array, " agents"]
    figures: Mapping[str, Float32[Array, " agents"]]
    signs: Mapping[str, Float32[Array, " agents"]]


class MetaGradient:
    """Meta-steps of one kind of agent.

    Args:
        learner: the kind of agent.
        rates: least and greatest learning rate of an agent, drawn log-uniformly for each life.
        settings: settings of the meta-gradient.
        chunk: agents that are differentiated together on a device; this bounds memory.
        devices: devices that share the chunks; all by default.
        figures: functions that compute `Seen.figures` from an agent's last rollout, by name.
        rule: parameters of the shape of the rule's, where each agent's gradient gets Adam steps of its own.
    """

    def __init__(
        self,
        learner: LpgLearner,
        rates: tuple[float, float],
        settings: MetaSettings,
        chunk: int = 4,
        devices: list[Any] | None = None,
        figures: Mapping[str, LifeFigure] | None = None,
        rule: Any = None,
    ) -> None:
        self._devices, self._figures = devices or jax.devices(), dict(figures or {})
        self.learner, self.rates, self.settings, self.chunk = learner, rates, settings, chunk
        self.critic = Critic(learner, settings)
        own = {"raw": None, "clipped": optax.clip_by_global_norm(1.0), "adam": optax.scale_by_adam()}
        self._own = own[settings.scale]
        self._moments = self._own.init(rule) if self._own else ()
        self._step = jax.jit(self._shared_step, static_argnums=0)
        self.born = quick_jit(jax.vmap(self._born))
        self.judged = jax.jit(self._judged, static_argnames="episodes")

    def _born(self, key: Any, level: Any, total: Any) -> Living:
        """Return a newborn, whose life is a whole number of meta-steps: `total` updates, rounded up."""
        first, second, begin, pace = jax.random.split(key, 4)
        total = -(-total // self.settings.updates) * self.settings.updates  # whole meta-steps
        agent = self.learner.init(first)
        critic = self.critic.init(second)
        rate = log_uniform(pace, *self.rates)
        workers = start(self.learner.env, level, begin, self.learner.workers)
        clock = Clock(jnp.int32(0), total)
        return Living(agent, rate, critic, self._moments, workers, level, clock, jnp.float32(-jnp.inf))

    def _judged(self, living: Living, which: Bool[Array, " agents"], key: Any, episodes: int) -> Array:
        """Return the mean return of whole episodes by the policies of some agents, NaN for the others."""

        def judged(row: tuple[Any, Any, Any]) -> Array:
            agent, level, key = row
            return evaluate(self.learner.env, level, self.learner.policy(agent), key, episodes)

        rows = (living.agent, living.level, jax.random.split(key, len(which)))
        return jax.lax.map(lambda x: jax.lax.cond(x[0], judged, lambda _: jnp.float32(jnp.nan), x[1]), (which, rows))

    def _live(self, rule: Any, living: Living, key: Any) -> tuple[Array, tuple[Living, Seen]]:
        """Return an agent's share of the meta-loss, the agent afterwards, and what was seen in all its rollouts."""
        settings, learner = self.settings, self.learner

        def act(agent: LpgAgent, critic: CriticState | None, workers: WorkerStates, key: Any) -> Any:
            """Act once; with a critic, it learns from that."""
            still = jax.tree.map(jax.lax.stop_gradient, agent)  # actions are samples: nothing flows through them
            value = functools.partial(self.critic.value, critic) if critic is not None else None
            moved = rollout(learner.env, living.level, learner.policy(still), workers, key, learner.steps, value)
            workers, seen, ended = jax.tree.map(jax.lax.stop_gradient, moved)
            critic, said = self.critic.learn(critic, seen, workers.observation) if critic is not None else (None, None)
            return workers, seen, ended, critic, said

        def update(carry: Any, i: Array) -> Any:
            agent, critic, workers = carry
            own = critic if settings.critic == "every-rollout" else None
            workers, seen, ended, learned, _ = act(agent, own, workers, jax.random.fold_in(key, i))
            clock = Clock(living.clock.done + i, living.clock.total)
            agent, figures, (policy, logits, more, target) = learner.learn(
                agent, rule, living.rate, seen, workers.observation, clock
            )
            penalty = (
                jnp.square(target).sum(axis=-1) if settings.penalty == "squares" else jnp.square(jnp.log(target + 1e-8))
            )
            regular = jnp.stack(
                [
                    settings.action_size * jnp.square(more).mean(),
                    settings.prediction_size * penalty.mean(),
                    -settings.policy_entropy * entropy(policy).mean(),
                    -settings.prediction_entropy * entropy(logits).mean(),
                ]
            )
            return (agent, critic if learned is None else learned, workers), (regular, ended, figures)

        (agent, critic, workers), (regular, ended, figures) = jax.lax.scan(
            update, (living.agent, living.critic, living.workers), jnp.arange(settings.updates)
        )
        workers, seen, last, critic, said = act(agent, critic, workers, jax.random.fold_in(key, settings.updates))
        advantages = said.advantages
        if settings.normalize == "advantages":
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy, _ = learner.outputs(agent.params, seen.observation.reshape((-1, *seen.observation.shape[2:])))
        action = seen.extra.reshape((-1, *seen.extra.shape[2:]))
        each = -log_probability(policy, action) * advantages.reshape(-1)
        signs = signs_of_life(figures, each, regular, said)
        clock = Clock(living.clock.done + settings.updates, living.clock.total)
        # The next meta-step's gradient begins here: nothing flows on.
        agent = jax.tree.map(jax.lax.stop_gradient, agent)
        episodes = Episodes(
            ended.count.sum() + last.count, ended.returns.sum() + last.returns, jnp.maximum(ended.best.max(), last.best)
        )
        best = jnp.maximum(living.best, episodes.best)
        lived = living._replace(agent=agent, critic=critic, workers=workers, clock=clock, best=best)
        sound = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves((agent.params, critic.params))]).all()
        # An agent that diverged makes room too, or its NaN would be in every gradient to come.
        over = (clock.done >= clock.total) | ~sound
        entropies = jax.lax.stop_gradient(entropy(policy)).reshape(seen.reward.shape)
        rest = LastRollout(said.advantages, said.values, seen.reward, entropies)
        kept = {name: figure(rest) for name, figure in self._figures.items()}
        signs = jax.tree.map(jax.lax.stop_gradient, signs)
        return each.mean() + regular.sum(axis=1).mean(), (lived, Seen(episodes, over, sound, best, kept, signs))

    def _live_anew(self, rule: Any, living: Living, newborn: Newborn, key: Any) -> tuple[Array, tuple[Living, Seen]]:
        """Do as `_live`, with a newborn agent if the place is vacant."""
        born, live = jax.random.split(jax.random.wrap_key_data(key))
        fresh = self._born(born, newborn.level, newborn.total)
        living = jax.tree.map(lambda old, new: jnp.where(newborn.vacant, new, old), living, fresh)
        return self._live(rule, living, live)

    def _own_steps(self, rule: Any, living: Living, newborn: Newborn, key: Any) -> tuple[Any, tuple[Living, Seen]]:
        """Return an agent's gradient, scaled by itself; one that is not finite makes no step."""
        assert self._own is not None
        gradient, (lived, seen) = jax.grad(self._live_anew, has_aux=True)(rule, living, newborn, key)
        finite = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(gradient)]).all()
        step, moments = self._own.update(gradient, lived.moments)
        moments = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moments, lived.moments)
        step = jax.tree.map(lambda x: jnp.where(finite, x, 0.0), step)
        return step, (lived._replace(moments=moments), seen)

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
        chunks = count // math.gcd(count, self.chunk)
        mesh = Mesh(np.array(self._devices[: math.gcd(chunks, len(self._devices))]), ("agents",))
        keys = jax.random.key_data(jax.random.split(key, count))
        # Always placed in the same way, since a new placement would compile again.
        rule = jax.device_put(rule, NamedSharding(mesh, PartitionSpec()))
        spread = jax.device_put((living, newborn, keys), NamedSharding(mesh, PartitionSpec("agents")))
        return self._step(mesh, rule, *spread)

    def _shared_step(self, mesh: Mesh, rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
        count = len(keys)
        size = math.gcd(count, self.chunk)
        chunks = count // size

        def loss(rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
            losses, rest = jax.vmap(self._live_anew, (None, 0, 0, 0))(rule, living, newborn, keys)
            return losses.mean(), rest

        def together(rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
            return jax.grad(loss, has_aux=True)(rule, living, newborn, keys)

        def apart(rule: Any, living: Living, newborn: Newborn, keys: Any) -> Any:
            gradients, rest = jax.vmap(self._own_steps, (None, 0, 0, 0))(rule, living, newborn, keys)
            return jax.tree.map(lambda x: x.mean(axis=0), gradients), rest

        gradient = apart if self._own else together

        def share(rule: Any, parts: Any) -> Any:
            parts = jax.tree.map(lambda x: x.reshape((-1, size, *x.shape[1:])), parts)
            gradients, rest = jax.lax.map(lambda part: gradient(rule, *part), parts)
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


def signs_of_life(
    figures: Mapping[str, Float32[Array, " updates"]],
    objective: Float32[Array, " samples"],
    regular: Float32[Array, "updates terms"],
    said: Estimates,
) -> dict[str, Float32[Array, ""]]:
    """Return what tells of an agent whether all parts do something in a meta-step.

    Args:
        figures: what the learner said of each update.
        objective: the meta-objective of each sample of the last rollout.
        regular: the regularizers of each update, weighted.
        said: what the critic said of the last rollout.
    """
    means = {name: figures[name].mean() for name in ("entropy", "y entropy", "y spread", "clipped")}
    return {
        **means,
        "target variance": said.targets.var(),
        "unexplained variance": said.advantages.var(),
        "objective": jnp.abs(objective).mean(),
        "regularizers": jnp.abs(regular).sum(axis=1).mean(),
    }
