"""What a drift sees in training: the ratios, advantages and times of an agent's lifetime."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from ..envs.rollout import start
from .drift_learner import DriftLearner, Hyper
from .lifetime import Clock


class Visited(NamedTuple):
    """Inputs of a drift, one row a sample."""

    log_ratio: Float32[np.ndarray, " samples"]
    advantage: Float32[np.ndarray, " samples"]
    progress: Float32[np.ndarray, " samples"]


def visited(
    learner: DriftLearner, rule: Any, hyper: Hyper, params: Any, updates: int, key: Any, samples: int
) -> Visited:
    """Return samples of what a drift sees over a lifetime that it trains, the same number from each update.

    Args:
        learner: the kind of agent.
        rule: the drift's parameters.
        hyper: the agent's hyperparameters.
        params: the environment's parameters.
        updates: length of the lifetime.
        key: consumed.
        samples: about how many to keep.
    """
    each = max(1, samples // (updates * learner.settings.epochs))

    @jax.jit
    def run(key: Any) -> Any:
        born, begin, grow = jax.random.split(key, 3)
        agent, workers = learner.init(born), start(learner.env, params, begin, learner.workers)

        def update(carry: Any, i: Any) -> Any:
            agent, workers = carry
            agent, workers, _, _, seen = learner.update_and_samples(
                agent, rule, hyper, params, workers, Clock(i, jnp.int32(updates)), jax.random.fold_in(grow, i)
            )
            return (agent, workers), jax.tree.map(lambda x: x[:, :: max(1, x.shape[1] // each)][:, :each], seen)

        return jax.lax.scan(update, (agent, workers), jnp.arange(updates))[1]

    log_ratio, advantage = (np.asarray(x) for x in run(key))
    times = np.broadcast_to((np.arange(updates, dtype=np.float32) / updates)[:, None, None], log_ratio.shape)
    return Visited(log_ratio.ravel(), advantage.ravel(), times.ravel())
