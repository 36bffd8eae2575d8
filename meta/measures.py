"""One training watched closely: its losses along the way, and what an optimizer does beside lowering them.

The measures distinguish optimizers that reach the same loss (Pascanu et al. 2025): how large updates are, how often
they agree in sign with the gradient, how sharp the minimum is, how sparse the weights are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float32

from ..envs.tasks import Task
from .training import MakeTransform, Start, schedule, step_gradients

POINTS = 20
"""Equal parts of a training, at whose ends its loss is kept."""
_POWER_STEPS = 20
_SHARP_BATCHES = 4
NEAR_ZERO = 1e-2
"""A weight counts as zero if it is smaller than this share of its leaf's root mean square."""


class Watched(NamedTuple):
    """What a training did; means are over its steps.

    Attributes:
        validation: loss after each part of the training.
        test: loss at the end.
        update_size: root mean square of the update, relative to that of the weights.
        sign_agreement: share of weights that move against their gradient's sign, of those that have a gradient.
        sharpness: largest eigenvalue of the training loss's Hessian at the end, by power iteration.
        sparsity: share of the weights that are nearly zero at the end; see `NEAR_ZERO`.
    """

    validation: Float32[Array, " points"]
    test: Float32[Array, ""]
    update_size: Float32[Array, ""]
    sign_agreement: Float32[Array, ""]
    sharpness: Float32[Array, ""]
    sparsity: Float32[Array, ""]


def watch(task: Task, make: MakeTransform, start: Start, rate: Array, key: Any) -> Watched:
    """Train a network as `training.train` does, in the task's own number of steps, and return what was measured.

    Args:
        task: gives the loss and the data.
        make: function of (learning rate schedule, total steps) to the optax transform.
        start: initial weights, and what each step needs.
        rate: the highest learning rate of the schedule.
        key: draws the power iteration's first direction.
    """
    steps = task.steps

    def body(carry: Any, i: Array) -> tuple[Any, tuple[Array, Array]]:
        weights, extra, state = carry
        now = rate * schedule(i, jnp.int32(steps))
        transform = optax.with_extra_args_support(make(lambda _: now, jnp.int32(steps)))
        value, gradients, extra = step_gradients(task, start, weights, extra, i, steps)
        updates, state = transform.update(gradients, state, weights, value=value)
        size = _rms(updates) / _rms(weights)
        moved = optax.tree.sum(jax.tree.map(lambda u, g: jnp.sum(u * g < 0), updates, gradients))
        against = jnp.asarray(moved / optax.tree.sum(jax.tree.map(lambda g: jnp.sum(g != 0), gradients)))
        return (optax.apply_updates(weights, updates), extra, state), (size, against)

    def part(carry: Any, numbers: Array) -> tuple[Any, Any]:
        carry, seen = jax.lax.scan(body, carry, numbers)
        loss = task.loss_on("validation", *carry[:2])
        return carry, (loss, jax.tree.map(jnp.sum, seen))

    rest = steps % POINTS  # these steps come before the first part
    carry = (start.weights, start.extra, make(lambda _: rate, jnp.int32(steps)).init(start.weights))
    carry, first = jax.lax.scan(body, carry, jnp.arange(rest))
    numbers = jnp.arange(rest, steps).reshape(POINTS, -1)
    (weights, extra, _), (validation, sums) = jax.lax.scan(part, carry, numbers)
    size, against = (s.sum() + f.sum() for s, f in zip(sums, first, strict=True))
    test = task.loss_on("test", weights, extra)
    flat = jnp.concatenate([(jnp.abs(w) < NEAR_ZERO * _rms(w)).ravel() for w in jax.tree.leaves(weights)])

    def loss(weights: Any) -> Array:
        noise = jax.random.wrap_key_data(start.key)
        some = [task.training_loss(weights, extra, task.batch(row), noise)[0] for row in start.rows[:_SHARP_BATCHES]]
        return jnp.stack(some).mean()

    sharp = sharpness(loss, weights, key)
    return Watched(validation, test, size / steps, against / steps, sharp, flat.mean())


def sharpness(loss: Callable[[Any], Array], weights: Any, key: Any, steps: int = _POWER_STEPS) -> Float32[Array, ""]:
    """Return the eigenvalue of largest size of a loss's Hessian, by power iteration with Hessian-vector products."""
    leaves, shape = jax.tree.flatten(weights)
    keys = jax.random.split(key, len(leaves))
    first = shape.unflatten([jax.random.normal(k, w.shape) for k, w in zip(keys, leaves, strict=True)])

    def step(carry: tuple[Any, Array], _: None) -> tuple[tuple[Any, Array], None]:
        size = optax.tree.norm(carry[0])
        unit = jax.tree.map(lambda x: x / (size + 1e-30), carry[0])
        product = jax.jvp(jax.grad(loss), (weights,), (unit,))[1]
        return (product, jnp.asarray(optax.tree.vdot(unit, product))), None

    return jax.lax.scan(step, (first, jnp.float32(0)), length=steps)[0][1]


def _rms(tree: Any) -> Array:
    return jnp.asarray(optax.tree.norm(tree) / jnp.sqrt(optax.tree.size(tree)))
