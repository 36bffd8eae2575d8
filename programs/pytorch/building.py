"""From a rule to a class of optimizers, and from a drift to a loss, compiled without text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..compiler import Backend, leaf_program, limits, plan, update_function
from ..errors import RulesmithError
from ..program import Program
from ..vocabulary import FUNCTIONS, SIZES, Kind, Shape
from . import words
from .drift import loss_of, network_drift
from .optimizer import RuleOptimizer, TorchProgram, real_number

if TYPE_CHECKING:
    from ..objective import Objective
    from ..rule import Rule

TORCH = Backend(words, torch, "torch", tensor="tensor", roots=True)


def goes_by_elements(program: Program) -> bool:
    """Tell whether every value of a program is a number for each weight, made of others at the same place."""
    kinds = {FUNCTIONS[step.function].kind for step in plan(program)}
    read = {operand for step in plan(program) for operand in step.operands} | {*program.returns}
    full = all(slot.shape is Shape.FULL for slot in program.states)
    return full and kinds <= {Kind.ELEMENTWISE} and not read & {*SIZES}


_TAKEN = {
    *(
        "self",
        "params",
        "param_names",
        "step",
        "dtype",
        "state_dtype",
        "leaf_classes",
        "total_steps",
        "torch",
        "tensor",
    ),
}
"""Names that optimizers and exported files use."""


def refuse_taken_names(rule: Rule) -> None:
    """Raise RulesmithError if a hyperparameter or variable has a name that the optimizer needs itself."""
    for program in rule.programs.values():
        used = {name for name, _ in program.hyperparameters}
        used |= {s.target for s in program.statements if s.target in ("torch", "tensor")}
        for name in used & _TAKEN:
            raise RulesmithError(f"{rule.name}: {name!r} is a name that PyTorch's optimizers use; take another one")


def torch_program(program: Program) -> TorchProgram:
    """Return a program as `RuleOptimizer` takes it."""
    part = leaf_program(program)._replace(update=update_function(program, TORCH))
    return TorchProgram(*part, goes_by_elements(program))


def optimizer_class(rule: Rule) -> type[RuleOptimizer]:
    """Return the class of optimizers that apply a rule; its arguments are those of `Rule.to_torch`."""
    refuse_taken_names(rule)
    defaults = rule.hyperparameters

    def __init__(self: Any, params: Any, lr: Any, *, hyperparameters: Mapping[str, Any], **options: Any) -> None:
        RuleOptimizer.__init__(self, params, lr, {**defaults, **hyperparameters}, **options)

    members: dict[str, Any] = {
        "__init__": __init__,
        "__doc__": rule.description,
        "programs": {label: torch_program(program) for label, program in rule.programs.items()},
        "limits": {name: limit for program in rule.programs.values() for name, limit in limits(program).items()},
    }
    return type(rule.class_name, (RuleOptimizer,), members)


def loss_function(objective: Objective, hyperparameters: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    """Return a drift as a loss; see `Objective.to_torch`."""
    program = objective.program
    for name, value in hyperparameters.items():
        real_number(name, value)
    drift = network(objective) if program is None else written(program, hyperparameters)

    def loss(
        new_log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantage: torch.Tensor, progress: float = 0.0
    ) -> torch.Tensor:
        return loss_of(new_log_prob, old_log_prob, advantage, lambda *given: drift(*given, progress))

    loss.__name__ = loss.__qualname__ = objective.function_name
    return loss


def network(objective: Objective) -> Callable[..., torch.Tensor]:
    """Return a network as a function of (ratio, log ratio, advantage, progress)."""
    arrays = {name: torch.tensor(array) for name, array in objective.arrays.items()}
    return functools.partial(network_drift, arrays, bound=objective.input_bound)


def written(program: Program, hyperparameters: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    """Return a drift program as a function of (ratio, log ratio, advantage, progress)."""
    run, own = update_function(program, TORCH), {**dict(program.hyperparameters), **hyperparameters}

    def drift(ratio: torch.Tensor, log_ratio: torch.Tensor, advantage: torch.Tensor, progress: float) -> torch.Tensor:
        given = {"r": ratio, "log_r": log_ratio, "a": advantage, "progress": torch.as_tensor(progress)}
        return run(**{name: value for name, value in given.items() if name in program.inputs}, **own)[0]

    return drift
