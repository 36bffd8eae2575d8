"""Objectives as files of Python that need only jax and optax (LPG's also safetensors, for the arrays beside the file).

Put together, as `exporting` does, from source that is tested here; so a file gives the same computation.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import drift as drifts
from . import lpg, policies
from . import objective_transform as transforms
from .compiler import reads
from .exporting import docstring, format_source, helpers_of, update_source
from .transform import number

if TYPE_CHECKING:
    from .objective import Objective

_LINE = 76  # characters of encoded weights in a line


def objective_source(objective: Objective) -> str:
    """Return an objective as the text of a Python module with one function that makes its optax transform."""
    program = objective.program
    imports = [
        "import math",
        "import sys",
        "from typing import NamedTuple",
        "",
        "import jax",
        "import jax.numpy as jnp",
    ]
    imports += ["import numpy as np", "import optax", "from jax.core import Tracer"]
    functions: list[Callable[..., Any]] = [policies.log_probability, policies.widened]
    texts: list[str] = []
    arguments = ["apply", "*", "total_updates", "steps_per_update=1"]
    if objective.kind == "lpg":
        imports = [*imports[:2], "from pathlib import Path", *imports[2:], "from safetensors.numpy import load_file"]
        functions += [
            lpg.gru_steps,
            lpg.gru_states,
            lpg.lpg_targets,
            lpg.lpg_loss,
            transforms.check_fields,
            transforms.lpg_gradient,
        ]
        arguments += ["gamma=0.99", "prediction_weight=0.5"]
        texts.append('ARRAYS = load_file(Path(__file__).with_suffix(".safetensors"))\n')
        gradient = f"lpg_gradient(ARRAYS, apply, gamma, prediction_weight, masked={objective.masked})"
    else:
        own, more, value = drift_source(objective)
        texts += own
        functions += [policies.log_ratio_of, *more, drifts.drift_slope, drifts.drift_loss]
        functions += [transforms.check_fields, transforms.drift_gradient]
        if program is not None:
            arguments += [f"{name}={value!r}" for name, value in program.hyperparameters]
        else:
            imports = ["import base64", *imports]
        gradient = f"drift_gradient(lambda ratio, log_ratio, advantage, progress: {value}, apply)"
    functions += [transforms.check_batch, transforms.check_policy, transforms.refuse_wrappers, number]
    checks = [] if program is None else [f"number({name!r}, {name})" for name, _ in program.hyperparameters]
    result = f"return adding({gradient}, total_updates, steps_per_update)"
    parts = [
        docstring(objective.name, objective.description, _title(objective), objective.provenance, objective.evidence),
        "\n".join(imports) + "\n\n",
        f"def {objective.function_name}({', '.join(arguments)}):\n    "
        + "\n    ".join([_USE[objective.kind], *checks, result]),
        *texts,
        *(inspect.getsource(function) for function in functions),
        inspect.getsource(transforms.ObjectiveState),
        inspect.getsource(transforms.adding),
    ]
    return format_source("\n\n".join(parts))


def drift_source(
    objective: Objective, numbers: Mapping[str, float] | None = None
) -> tuple[list[str], list[Callable[..., Any]], str]:
    """Return what a drift is made of in a module: source texts, functions, and an expression for the drift.

    The expression is of `ratio`, `log_ratio`, `advantage`, `progress` and a program's hyperparameters.

    Args:
        objective: the drift.
        numbers: values that stand in the expression instead of hyperparameters.
    """
    program = objective.program
    if program is None:
        value = f"learned_drift(ARRAYS, ratio, log_ratio, advantage, progress, {objective.input_bound!r})"
        return [weights_source(objective)], [drifts.drift_features, drifts.learned_drift], value
    source = update_source(program, "drift")
    given = {"r": "ratio", "log_r": "log_ratio", "a": "advantage", "progress": "progress"}
    own = [repr(numbers[name]) if numbers else name for name, _ in program.hyperparameters]
    words = [given[name] for name in reads(program)] + own
    return [source + "\n\n" + helpers_of([source])], [], f"jnp.broadcast_to(drift({', '.join(words)})[0], ratio.shape)"


_USE = {
    "drift": '''"""Return an optax transform that adds the objective's gradient: chain it before an optimizer.

    apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    total_updates: rollouts that the training will learn from; steps_per_update: gradient steps made from each.
    Update with tx.update(gradients of value loss and entropy, state, params, batch=batch), batch having `observation`,
    `action`, `log_probability` (of the action when it was taken) and `advantage`.
    """''',
    "lpg": '''"""Return an optax transform that adds the objective's gradient: chain it before an optimizer.

    apply: function of (params, observations) to the pair (policy, logits of the prediction y).
    total_updates: rollouts that the training will learn from; steps_per_update: gradient steps made from each.
    Update with tx.update(zeros like params, state, params, batch=batch), batch having `observation`, `action`,
    `reward`, `done`, each (workers, time, ...) in order, and `last_observation` (workers, ...).
    """''',
}


def _title(objective: Objective) -> list[tuple[str, str]]:
    return [] if objective.program is None else [("The drift:", objective.program.to_text())]


def weights_source(objective: Objective, decoded: str = "np.frombuffer({}, '<f4')") -> str:
    """Return source that holds a small network's float32 arrays as text.

    Args:
        objective: the network.
        decoded: source of an array, in whose braces its bytes come.
    """
    lines = ["ARRAYS = {}\n"]
    for name, array in objective.arrays.items():
        text = base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
        chunks = "\n".join(f'    "{text[i : i + _LINE]}"' for i in range(0, len(text), _LINE))
        value = decoded.format(f"base64.b64decode(\n{chunks}\n)")
        lines.append(f"ARRAYS[{name!r}] = {value}.reshape({array.shape!r})\n")
    return "".join(lines)
