"""One optimizer judged on one supervised task: tuned on validation data, then run on seeds that tuning has not seen.

The claim is the test loss at the end of the schedule; the verdict also holds what the optimizer does on the way
(`measures`) and what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..envs.tasks import Task
from .contestants import Contestant
from .judging import Verdict, plain, plain_list
from .measures import watch
from .training import Trainer, maker
from .tuning import Tuned

FIRST_SEED = 2000
"""First seed of the runs for the claim; searches and tuning use other seeds."""
BASIN = 1.05
"""A setting is in the basin if its loss is at most this times the best."""
_TIMED_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class OptimizerVerdict(Verdict):
    """An optimizer on a supervised task: its `results` are test losses at the end, its `curve` validation losses.

    Attributes:
        validation: see `Tuned`, as `tuning` and `whole`.
        whole: for each of the `tuning`, the number of whole trainings by which it was judged; 0 if its loss is what a
            short training lets expect.
        basin: share of the trials within `BASIN` of the best loss.
        update_size: see `measures.Watched`; means over seeds, as are the next three.
        sign_agreement: share of weights that move against their gradient's sign.
        sharpness: sharpness of the loss at the end.
        sparsity: share of weights that are nearly zero at the end.
        state_bytes: bytes of the optimizer's state for each weight.
        step_seconds: time of an update, without the gradient.
        adamw_seconds: the same of `optax.adamw`, measured beside it.
    """

    validation: float | None
    whole: list[int]
    basin: float
    update_size: float | None
    sign_agreement: float | None
    sharpness: float | None
    sparsity: float | None
    state_bytes: float
    step_seconds: float
    adamw_seconds: float


def judge_optimizer(
    contestant: Contestant, task: Task, tuned: Tuned, seeds: int, told: Callable[[float], None] = lambda _: None
) -> OptimizerVerdict:
    """Run a tuned optimizer at its best setting.

    Args:
        contestant: the optimizer.
        task: what it trains.
        tuned: its settings there.
        seeds: runs at the best setting, from seed `FIRST_SEED` on.
        told: called after each run with its steps.
    """
    trainer = Trainer(task)
    losses = np.array([np.inf if loss is None else loss for _, loss in tuned.tuning])
    options = {name: value for name, value in tuned.setting.items() if name != "learning_rate"}
    make = maker(contestant.rule, options, task)

    @jax.jit
    def run(start: Any, key: Any) -> Any:
        return watch(task, make, start, jnp.float32(tuned.setting["learning_rate"]), key)

    runs = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        runs.append(jax.block_until_ready(run(trainer.seed(seed), jax.random.key(seed))))
        told(task.steps)
    watched = jax.tree.map(lambda *leaves: np.stack(leaves), *runs)
    weights = trainer.seed(FIRST_SEED).weights
    own, adamw = (make(lambda _: jnp.float32(1e-3), jnp.int32(task.steps)), optax.adamw(1e-3))
    state = jax.eval_shape(own.init, weights)
    means = {
        name: plain(getattr(watched, name).mean())
        for name in ("update_size", "sign_agreement", "sharpness", "sparsity")
    }
    return OptimizerVerdict(
        task=task.name,
        setting=tuned.setting,
        validation=tuned.validation,
        tuning=tuned.tuning,
        whole=tuned.whole,
        results=plain_list(watched.test),
        curve=plain_list(watched.validation.mean(axis=0)),
        basin=float((losses <= BASIN * losses.min()).mean()) if np.isfinite(losses).any() else 0.0,
        **means,
        state_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) / task.parameters,
        step_seconds=_seconds(own, weights),
        adamw_seconds=_seconds(adamw, weights),
    )


def _seconds(transform: optax.GradientTransformation, weights: Any) -> float:
    """Return the time of an update in the fastest of a few loops of updates."""
    gradients = jax.tree.map(lambda w: jnp.asarray(w) * 0.01 + 1e-3, weights)

    @jax.jit
    def loop(weights: Any, state: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            weights, state = carry
            updates, state = transform.update(gradients, state, weights)
            return optax.apply_updates(weights, updates), state

        return jax.lax.fori_loop(0, _TIMED_STEPS, step, (weights, state))

    start = (jax.tree.map(jnp.asarray, weights), transform.init(weights))
    jax.block_until_ready(loop(*start))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(loop(*start))
        times.append(time.perf_counter() - began)
    return min(times) / _TIMED_STEPS
