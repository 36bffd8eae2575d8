"""What the words of a program cost: their time on a task's weights beside that of the loss's gradient.

Measured are a multiplication of all weights and each heavy word; every other word takes as many multiplications as the
vocabulary says. These are times of compiled code: what a person pays who trains with the rule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..envs.tasks import Task
from ..programs.compiler import JAX
from ..programs.leaves import LeafView, classified
from ..programs.vocabulary import FUNCTIONS

_SECONDS = 0.2
"""Time for which each thing is measured."""
_CLASSES = ("all", "matrix", "other")


def measured_costs(task: Task) -> dict[str, dict[str, float]]:
    """Return by class of leaves what each word costs, in units of the time that a batch's gradient takes."""
    weights, state = task.start(jax.random.key(0))
    batch = task.batch(task.rows(jax.random.key(1))[0])
    key = jax.random.key(2)

    def gradient(weights: Any) -> Any:
        gradients, _ = jax.grad(task.training_loss, has_aux=True)(weights, state, batch, key)
        return jax.tree.map(lambda w, g: w - 1e-6 * g, weights, gradients)

    unit = _seconds(gradient, weights)
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(weights)])
    multiplication = _seconds(lambda x: x * 0.999, flat) / unit
    kinds = [kind for kind, _ in classified(weights, task.functions.leaf_classes, needed=True)]
    views = [view for _, view in classified(weights, task.functions.leaf_classes, needed=True)]
    leaves = jax.tree.leaves(weights)
    costs: dict[str, dict[str, float]] = {}
    for label in _CLASSES:
        places = [i for i, kind in enumerate(kinds) if label in ("all", kind)]
        share = sum(leaves[i].size for i in places) / flat.size
        costs[label] = {name: _rounded(share * multiplication * f.cost) for name, f in FUNCTIONS.items()}
        for name in (name for name, function in FUNCTIONS.items() if function.heavy and places):
            word = _on_leaves(JAX.function(name), [views[i] for i in places])
            costs[label][name] = _rounded(_seconds(word, [leaves[i] for i in places]) / unit)
    return costs


def _on_leaves(word: Callable[..., Any], views: list[LeafView]) -> Callable[[Any], Any]:
    """Return a function of leaves that applies a word of one argument to the matrices of each."""

    def run(leaves: Any) -> Any:
        found = []
        for leaf, view in zip(leaves, views, strict=True):
            each = jax.vmap(word) if view.stacked else word
            found.append(view.leaf(each(view.matrices(leaf))))
        return found

    return run


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _seconds(step: Callable[[Any], Any], start: Any) -> float:
    """Return the time of a step that is done again and again on its own result: the least of some measurements."""
    run = jax.jit(lambda x, times: jax.lax.fori_loop(0, times, lambda _, x: step(x), x))
    jax.block_until_ready(run(start, 1))
    times, least, end = 4, math.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < end or least == math.inf:
        began = time.perf_counter()
        jax.block_until_ready(run(start, times))
        taken = time.perf_counter() - began
        least = min(least, taken / times)
        if taken < _SECONDS / 10:
            times *= 2
    return least
