"""Rules and drifts as files of Python that need only torch, put together as `exporting` does those that need JAX."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from .. import leaves
from ..compiler import limits, reads
from ..exporting import docstring, format_source, helpers_of, limits_source, program_titles, rates_note, update_source
from ..exporting_objectives import weights_source
from . import drift, optimizer, together
from .building import TORCH, refuse_taken_names, torch_program

if TYPE_CHECKING:
    from ..objective import Objective
    from ..rule import Rule

_IMPORTS = """from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
"""


def optimizer_source(rule: Rule) -> str:
    """Return a rule as the text of a Python module with one class of optimizers."""
    refuse_taken_names(rule)
    sources, entries, bounds = [], [], {}
    for label, program in rule.programs.items():
        name = "update" if label == "all" else f"update_{label}"
        sources.append(update_source(program, name, TORCH))
        entries.append(f"{label!r}: TorchProgram({name}, {', '.join(map(repr, torch_program(program)[1:]))})")
        bounds |= limits(program)
    note = f"{rates_note(rule)}The update that a program returns is subtracted from the weights."
    parts = [
        docstring(rule.name, rule.description, program_titles(rule), rule.provenance, rule.evidence, note),
        _IMPORTS,
        *sources,
        helpers_of(sources, TORCH),
        "# From here on, what applies any rule to the parameters of a network; at the end, the optimizer.",
        *map(inspect.getsource, _MACHINERY),
        f"_OPERATORS = {together._OPERATORS!r}",
        _class_source(rule, entries, limits_source(bounds)),
    ]
    return format_source("\n\n".join(parts))


_MACHINERY = (
    *(optimizer.TorchProgram, optimizer.MatrixView, optimizer.Leaf, optimizer.RuleOptimizer, optimizer.real_number),
    *(
        optimizer.parameter_names,
        optimizer.refuse_sparse,
        optimizer.classes_of,
        leaves.axes_of_class,
        optimizer.first_state,
    ),
    *(optimizer.blocks_of, optimizer.run_together_on, optimizer.numbers_for, optimizer.run_one_by_one),
    *(optimizer.arguments_of, optimizer.write_leaf, optimizer.in_turns, together.Leaves),
)
"""What every exported optimizer needs beside its programs."""


def _class_source(rule: Rule, entries: list[str], bounds: str) -> str:
    """Return the source of the class, with arguments that have types and defaults."""
    arguments = [f"{name}: float = {value!r}" for name, value in rule.hyperparameters.items()]
    steps = "total_steps: int" if rule.needs_total_steps else "total_steps: int | None = None"
    signature = ", ".join(
        [
            *("self", "params: Iterable[Any]", "lr: float | torch.Tensor", *arguments, "*", steps),
            "state_dtype: torch.dtype | None = None",
            "leaf_classes: dict[str, Any] | Callable[[torch.Tensor], Any] | None = None",
        ]
    )
    values = ", ".join(f"{name!r}: {name}" for name in rule.hyperparameters)
    about = "length of the training" if rule.needs_total_steps else "not used"
    return f'''class {rule.class_name}(RuleOptimizer):
    """{rule.class_name}, an optimizer of PyTorch; see the top of this file for the rule.

    params: parameters, named parameters or groups; lr: learning rate; state_dtype: type of the states;
    leaf_classes: which parameters are matrices, see `classes_of`; total_steps: {about}.
    """

    programs = {{{", ".join(entries)}}}
    # Of these hyperparameters: the least value, and what they must be below.
    limits = {bounds}

    def __init__({signature}) -> None:
        super().__init__(params, lr, {{{values}}}, total_steps, state_dtype, leaf_classes)
'''


def loss_source(objective: Objective) -> str:
    """Return a drift as the text of a Python module with one function that makes the loss."""
    program = objective.program
    arguments = ["new_log_prob: torch.Tensor", "old_log_prob: torch.Tensor", "advantage: torch.Tensor"]
    arguments += ["progress: float = 0.0" if objective.timed else "progress: float | None = None"]
    imports = "from __future__ import annotations\n\nimport math\n\nimport torch\n"
    if program is not None:
        arguments += ["*"] * bool(program.hyperparameters)
        arguments += [f"{name}: float = {value!r}" for name, value in program.hyperparameters]
        source = update_source(program, "drift", TORCH)
        helpers = helpers_of([source], TORCH)
        given = {"r": "ratio", "log_r": "log_ratio", "a": "advantage", "progress": "torch.as_tensor(progress)"}
        words = [given[name] for name in reads(program)] + [name for name, _ in program.hyperparameters]
        value = f"drift({', '.join(words)})[0]"
        title = [("The drift:", program.to_text())]
    else:
        imports = imports.replace("import math", "import base64\nimport math")
        source, title = weights_source(objective, "torch.frombuffer(bytearray({}), dtype=torch.float32)"), []
        helpers = "\n\n".join(map(inspect.getsource, (drift.features, drift.network_drift)))
        value = f"network_drift(ARRAYS, ratio, log_ratio, advantage, progress, {objective.input_bound!r})"
    parts = [
        docstring(objective.name, objective.description, title, objective.provenance, objective.evidence),
        imports,
        f'''def {objective.function_name}({", ".join(arguments)}) -> torch.Tensor:
    """Return the loss of a batch, to be descended: the mean of ``drift(r, A) - r A``.

    new_log_prob: logarithms of the probabilities of the actions, of the policy that is trained; old_log_prob: the same
    when the actions were taken; advantage: of the actions; progress: share of the training that is over, 0 to 1.
    """
    return loss_of(
        new_log_prob, old_log_prob, advantage, lambda ratio, log_ratio, advantage: {value}
    )
''',
        source,
        helpers,
        inspect.getsource(drift.loss_of),
        inspect.getsource(drift.slope_of),
    ]
    return format_source("\n\n".join(parts))
