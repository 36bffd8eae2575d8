"""An agent's whole lifetime as one function: from its birth to the return of its last policy.

A `Learner` says what an agent is and how it learns from a rollout; the lifetime is the loop around it. The number of
updates is data, so one compiled lifetime serves every horizon, rule, level and seed.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int32

from ..envs.environment import Environment
from ..envs.rollout import Episodes, Policy, WorkerStates, evaluate, start

BINS = 20
"""Equal parts of a lifetime in which its curves are kept."""


class Clock(NamedTuple):
    """Updates done, and how many the lifetime has."""

    done: Int32[Array, ""]
    total: Int32[Array, ""]

    @property
    def progress(self) -> Float32[Array, ""]:
        """Share of the lifetime that is over: 0 at the first update."""
        return self.done / self.total


class Learner(Protocol):
    """An agent that learns by a rule."""

    env: Environment
    workers: int
    steps: int
    """Steps of each worker between two updates."""

    def init(self, key: Any) -> Any:
        """Return a newborn agent."""
        ...

    def policy(self, agent: Any) -> Policy:
        """Return how the agent acts."""
        ...

    def update(
        self, agent: Any, rule: Any, hyper: Any, params: Any, workers: WorkerStates, clock: Clock, key: Any
    ) -> tuple[Any, WorkerStates, Episodes, dict[str, Array]]:
        """Act for `steps`, learn from it, and return agent, workers, episodes that ended, and figures to keep."""
        ...


class Life(NamedTuple):
    """The results of an agent's life.

    Attributes:
        final: mean return of whole episodes by its last policy; NaN if its parameters are not finite.
        returns: mean return of the episodes that ended in each part of the lifetime; NaN where none did.
        figures: means of what the learner keeps (entropy, size of updates), by part of the lifetime.
    """

    final: Float32[Array, ""]
    returns: Float32[Array, " bins"]
    figures: dict[str, Float32[Array, " bins"]]


def live(learner: Learner, rule: Any, hyper: Any, params: Any, updates: Any, key: Any, episodes: int) -> Life:
    """Return a whole lifetime.

    Args:
        learner: the kind of agent, and its environment.
        rule: parameters of the rule that trains it, a pytree.
        hyper: the agent's hyperparameters, a pytree.
        params: the environment's parameters.
        updates: length of the lifetime, an int32 scalar; may be traced.
        key: consumed.
        episodes: episodes that the last policy is judged by.
    """
    born, begin, grow, judge = jax.random.split(key, 4)
    agent = learner.init(born)
    workers = start(learner.env, params, begin, learner.workers)
    kept = jax.eval_shape(
        lambda: learner.update(agent, rule, hyper, params, workers, Clock(jnp.int32(0), updates), key)
    )[3]
    zeros = jnp.zeros(BINS)
    curves = dict.fromkeys((*kept, "updates", "episodes", "returns"), zeros)

    def update(i: Array, carry: Any) -> Any:
        agent, workers, curves = carry
        agent, workers, ended, figures = learner.update(
            agent, rule, hyper, params, workers, Clock(i, updates), jax.random.fold_in(grow, i)
        )
        figures |= {"updates": jnp.float32(1), "episodes": ended.count, "returns": ended.returns}
        part = i * BINS // updates
        return agent, workers, {name: curve.at[part].add(figures[name]) for name, curve in curves.items()}

    agent, _, curves = jax.lax.fori_loop(0, updates, update, (agent, workers, curves))
    count, ended, returns = (curves.pop(name) for name in ("updates", "episodes", "returns"))
    final = evaluate(learner.env, params, learner.policy(agent), judge, episodes)
    final = jnp.where(_finite(agent), final, jnp.nan)
    return Life(final, returns / ended, {name: curve / count for name, curve in curves.items()})


def _finite(agent: Any) -> Bool[Array, ""]:
    leaves = [x for x in jax.tree.leaves(agent) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
