"""Lifetimes of a population: one compiled function over many (candidate, horizon, level, key), shared by the devices.

Candidates are mapped one after another on CPUs and in vmapped chunks on accelerators; the map is inside the sharding,
so each device runs its own share. On a CPU each core is a device (see `use_cores`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Int32

from .lifetime import Learner, Life, live

AXIS = "trials"


class Trials(NamedTuple):
    """Lifetimes to run; each field has the axis ``(trials,)`` first.

    Attributes:
        candidate: whose rule, by place in the population.
        updates: length.
        key: of the lifetime.
        params: of the environment (the level).
        hyper: of the agent; see its learner.
    """

    candidate: Int32[np.ndarray, " trials"]
    updates: Int32[np.ndarray, " trials"]
    key: Any
    params: Any
    hyper: Any


def use_cores(count: int) -> None:
    """Make each of `count` cores a device. Must come before anything runs in JAX; with GPUs it changes nothing."""
    jax.config.update("jax_num_cpu_devices", count)


def chunk() -> int | None:
    """Return how many lifetimes are vmapped on a device: none on CPUs, where that is slower than one by one."""
    return None if jax.default_backend() == "cpu" else 32


class Population:
    """Runs lifetimes of one kind of agent in one environment.

    Args:
        learner: the kind of agent.
        episodes: episodes that a last policy is judged by.
        devices: to share the work; all by default.
    """

    def __init__(self, learner: Learner, episodes: int, devices: list[Any] | None = None) -> None:
        self.learner = learner
        self.mesh = Mesh(np.array(devices or jax.devices()), (AXIS,))

        def run(candidates: Any, trials: Trials) -> Life:
            def one(trial: Trials) -> Life:
                rule = jax.tree.map(lambda x: x[trial.candidate], candidates)
                return live(learner, rule, trial.hyper, trial.params, trial.updates, trial.key, episodes)

            size = chunk()
            return jax.lax.map(one, trials, batch_size=size) if size else jax.lax.map(one, trials)

        everywhere, shared = PartitionSpec(), PartitionSpec(AXIS)
        self._run = jax.jit(
            jax.shard_map(run, mesh=self.mesh, in_specs=(everywhere, shared), out_specs=shared, check_vma=False)
        )

    def __call__(self, candidates: Any, trials: Trials) -> Life:
        """Return the lives, in the order of the trials, as NumPy arrays.

        The work is dealt like cards, longest first, so that devices end together; a life does not depend on which
        device ran it.
        """
        count, devices = len(trials.updates), self.mesh.size
        order = np.argsort(-np.asarray(trials.updates), kind="stable")
        padded = np.concatenate([order, np.repeat(order[-1:], -count % devices)])
        dealt = padded.reshape(-1, devices).T.reshape(-1)
        lives = self._run(candidates, jax.tree.map(lambda x: x[dealt], trials))
        places = np.empty(len(dealt), int)
        places[dealt] = np.arange(len(dealt))
        return jax.tree.map(lambda x: np.asarray(x)[places[:count]], lives)


def repeated(hyper: Any, count: int) -> Any:
    """Return hyperparameters for each of `count` trials, all alike."""
    return jax.tree.map(lambda x: np.full(count, x, np.float32), hyper)


def stacked(*candidates: Any) -> Any:
    """Return candidates as one pytree with the axis ``(candidates, ...)`` first."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *candidates)
