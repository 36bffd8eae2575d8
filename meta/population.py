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
        candidate: place in the population of the candidate whose rule is used; a lifetime with -1 is skipped, and
            returns 0.
        updates: length of the lifetime, in updates.
        key: key of the lifetime.
        params: the environment's parameters (the level).
        hyper: the agent's hyperparameters; see its learner.
    """

    candidate: Int32[np.ndarray, " trials"]
    updates: Int32[np.ndarray, " trials"]
    key: Any
    params: Any
    hyper: Any


def use_cores(count: int) -> None:
    """Make each of `count` cores a device. Must come before anything runs in JAX; with GPUs it changes nothing."""
    jax.config.update("jax_num_cpu_devices", count)


def join_hosts(coordinator: str, processes: int, process: int) -> None:
    """Make this process one of several that share their devices; each calls this, and then runs the same search.

    Args:
        coordinator: HOST:PORT of process 0.
        processes: how many there are.
        process: the number of this one, from 0.
    """
    jax.distributed.initialize(coordinator, processes, process)


def from_first_host(value: Any) -> Any:
    """Return process 0's value, a pytree of arrays whose structure and shapes are the same in all processes."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(value)


def chunk() -> int | None:
    """Return how many lifetimes are vmapped on a device: none on CPUs, where that is slower than one by one."""
    return None if jax.default_backend() == "cpu" else 32


class Population:
    """Runs lifetimes of one kind of agent in one environment.

    Args:
        learner: the kind of agent.
        episodes: episodes that a last policy is judged by.
        devices: devices that share the work; all by default.
    """

    def __init__(self, learner: Learner, episodes: int, devices: list[Any] | None = None) -> None:
        self.learner = learner
        self.mesh = Mesh(np.array(devices or jax.devices()), (AXIS,))

        def run(candidates: Any, trials: Trials) -> Life:
            trials = trials._replace(key=jax.random.wrap_key_data(trials.key))

            def lived(trial: Trials) -> Life:
                rule = jax.tree.map(lambda x: x[trial.candidate], candidates)
                return live(learner, rule, trial.hyper, trial.params, trial.updates, trial.key, episodes)

            def one(trial: Trials) -> Life:
                nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lived, trial))
                return jax.lax.cond(trial.candidate >= 0, lived, lambda _: nothing, trial)

            size = chunk()
            return jax.lax.map(one, trials, batch_size=size) if size else jax.lax.map(one, trials)

        everywhere, shared = PartitionSpec(), PartitionSpec(AXIS)
        self._run = jax.jit(
            jax.shard_map(run, mesh=self.mesh, in_specs=(everywhere, shared), out_specs=shared, check_vma=False)
        )

    def __call__(self, candidates: Any, trials: Trials) -> Life:
        """Return the lives, in the order of the trials, as NumPy arrays.

        Lifetimes are dealt to the devices in turn, longest first, so that all devices end together; a life does not
        depend on which device ran it.
        """
        count, devices = len(trials.updates), self.mesh.size
        order = np.argsort(-np.asarray(trials.updates), kind="stable")
        padded = np.concatenate([order, np.repeat(order[-1:], -count % devices)])
        dealt = padded.reshape(-1, devices).T.reshape(-1)
        # As NumPy arrays, so that every host has all trials, and its devices take their shares.
        trials = trials._replace(key=jax.random.key_data(trials.key))
        mine = jax.tree.map(lambda x: np.asarray(x)[dealt], trials)
        lives = self._run(jax.tree.map(np.asarray, candidates), mine)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            lives = multihost_utils.process_allgather(lives, tiled=True)
        places = np.empty(len(dealt), int)
        places[dealt] = np.arange(len(dealt))
        return jax.tree.map(lambda x: np.asarray(x)[places[:count]], lives)


def repeated(hyper: Any, count: int) -> Any:
    """Return hyperparameters repeated for each of `count` trials."""
    return jax.tree.map(lambda x: np.full(count, x, np.float32), hyper)
