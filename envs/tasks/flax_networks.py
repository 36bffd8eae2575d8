"""Flax linen modules as a task's functions, whatever they carry beside their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from ...programs.leaves import flax_leaf_classes
from .task import Functions

_TRAINING = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}
"""Arguments by which modules are told that they are trained."""


def flax_functions(model: nn.Module, loss: Callable[[Any, Any], Any], example: Any) -> Functions:
    """Return what a task computes, given a module and a loss of (outputs, targets).

    The state is the module's collections beside "params", such as batch statistics. Dropout and other noise draw from
    the key in training; where a module has noise in evaluation too, it is always the same.

    Args:
        model: the module.
        loss: function to one loss for each example or prediction.
        example: inputs, the first axis counting examples.
    """
    known = inspect.signature(type(model).__call__).parameters
    training: dict[str, Any] = {name: value for name, value in _TRAINING.items() if name in known}
    evaluating: dict[str, Any] = {name: not value for name, value in training.items()}

    def init(key: Any) -> tuple[Any, Any]:
        variables = model.init(key, example, **evaluating)
        return variables.get("params", {}), {name: x for name, x in variables.items() if name != "params"}

    def run(parameters: Any, state: Any, batch: Any, key: Any, mode: dict[str, Any]) -> tuple[Any, Any]:
        rngs = {"params": key, "dropout": key}
        variables = {"params": parameters, **state}
        outputs, new = model.apply(variables, batch[0], rngs=rngs, mutable=list(state), **mode)
        return loss(outputs, batch[1]).mean(), {**state, **new}

    def evaluation(parameters: Any, state: Any, batch: Any) -> Any:
        return run(parameters, state, batch, jax.random.key(0), evaluating)[0]

    def training_loss(parameters: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        return run(parameters, state, batch, key, training)

    return Functions(init, training_loss, evaluation, flax_leaf_classes)
