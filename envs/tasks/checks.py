"""Whether a user's task can be used at all, said before anything is trained on it."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..imports import own_function
from .task import Task


@functools.cache
def check_task(task: Task, *, axes: bool) -> None:
    """Raise RulesmithError, with what is wrong and what would be right, unless rules can be judged on a task.

    Args:
        task: the task; its functions are called, and its loss is computed at the start of a training.
        axes: whether rules may look at the axes of leaves, so that those of more than two must be told apart.
    """
    import jax

    from ...programs.leaves import classified

    key = jax.random.key(0)
    if task.draw is None:
        _check_data(task)
    with own_function(f"task {task.name}", "draw" if task.draw else "splits"):
        batch = task.batch_shapes
    with own_function(f"task {task.name}", "model" if task.model is not None else "init"):
        weights, extra = task.shapes
    for path, leaf in jax.tree_util.tree_flatten_with_path(weights)[0]:
        if leaf.dtype not in ("float32", "bfloat16", "float16"):
            name = jax.tree_util.keystr(path)
            raise task.fault(f"parameter {name} is of type {leaf.dtype}; rules train float32 (keep the rest elsewhere)")
    if not jax.tree.leaves(weights):
        raise task.fault("it has no parameters to train")
    with own_function(f"task {task.name}", "loss"):
        loss, new = jax.eval_shape(task.training_loss, weights, extra, batch, key)
    with own_function(f"task {task.name}", "evaluation" if task.evaluation else "loss"):
        evaluated = jax.eval_shape(task.functions.evaluation, weights, extra, batch)
    for what, found in (("loss", loss), ("evaluation", evaluated)):
        if getattr(found, "shape", None) != () or not jax.numpy.issubdtype(found.dtype, jax.numpy.floating):
            raise task.fault(f"{what} returns {_described(found)}; it must return one number, such as a mean")
    if _shapes(new) != _shapes(extra):
        raise task.fault("loss returns a state of another structure than init; it must keep names, shapes and types")
    try:
        classified(weights, task.functions.leaf_classes, needed=axes)
    except ValueError as error:
        raise task.fault(str(error)) from None
    _check_start(task, key)


def check_yardstick(task: Task, losses: Any, where: str) -> None:
    """Raise RulesmithError unless AdamW's losses on a task can be divided by.

    Args:
        task: the task.
        losses: AdamW's, any shape.
        where: what it was trained with, for the message.
    """
    worst = np.min(np.nan_to_num(np.asarray(losses, float), nan=-math.inf, posinf=-math.inf))
    if worst == -math.inf:
        raise task.fault(f"AdamW diverges on it {where}, so nothing can be compared with it: look at the loss's scale")
    if worst <= 0:
        raise task.fault(f"AdamW brings its loss to {worst:.4g} {where}; {_ABOVE_0}")


_ABOVE_0 = "it must stay above 0, since rules are judged by its ratio to AdamW's: add a constant or take another loss"


def _check_data(task: Task) -> None:
    """Raise RulesmithError unless the three parts are arrays of finite numbers that belong together."""
    import jax

    with own_function(f"task {task.name}", "splits"):
        data = task.data
    structures = {str(jax.tree.structure(part)) for part in data}
    if len(structures) > 1:
        raise task.fault("the parts of its data have different structures; they must be alike")
    for name, part in zip(data._fields, data, strict=True):
        leaves = jax.tree.leaves(part)
        sizes = {np.shape(leaf)[:1] for leaf in leaves}
        if len(sizes) != 1 or () in sizes or (0,) in sizes:
            found = ", ".join(str(np.shape(leaf)) for leaf in leaves) or "nothing"
            raise task.fault(f"its {name} data are {found}; the first axis of all arrays must count examples")
        for leaf in map(np.asarray, leaves):
            if leaf.dtype.kind not in "fiub":
                raise task.fault(f"its {name} data are of type {leaf.dtype}; they must be numbers")
            if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
                at = int(np.argwhere(~np.isfinite(leaf))[0][0])
                raise task.fault(
                    f"its {name} data are not finite, first in example {at}: fill or leave out such numbers"
                )


def _check_start(task: Task, key: Any) -> None:
    """Raise RulesmithError unless the loss is finite and above 0 at the start of a training."""
    import jax

    @jax.jit
    def losses(key: Any) -> Any:
        weights, extra = task.start(key)
        training, _ = task.training_loss(weights, extra, task.batch(task.rows(key)[0]), key)
        return training, task.loss_on("validation", weights, extra), task.loss_on("test", weights, extra)

    with own_function(f"task {task.name}", "loss"):
        found = [float(loss) for loss in losses(key)]
    for name, loss in zip(("a batch of training", "validation", "test"), found, strict=True):
        if not math.isfinite(loss):
            raise task.fault(f"its loss is {loss} at the start, on {name} data; it must be finite")
        if loss <= 0:
            raise task.fault(f"its loss is {loss:.4g} at the start, on {name} data; {_ABOVE_0}")


def _shapes(tree: Any) -> Any:
    import jax

    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _described(found: Any) -> str:
    if hasattr(found, "shape"):
        return f"an array of shape {found.shape} and type {found.dtype}"
    return f"a {type(found).__name__}"
