"""rulesmith discovers the update rules that train neural networks, and hands them back as optax transforms.

```python
import rulesmith

run = rulesmith.discover(rulesmith.Symbolic(tasks=("digits-mlp-2k",)), out="runs/mine", minutes=1)
run.best.to_optax(learning_rate=1e-3)
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .envs.environment import Box, Discrete, Environment, Step
    from .envs.gridworld.level import Level
    from .envs.tasks import Examples, Splits, Task
    from .launch import discover
    from .programs import Program, ProgramError, RulesmithError
    from .programs.leaves import flax_leaf_classes
    from .programs.objective import Objective
    from .programs.pytorch.modules import torch_leaf_classes
    from .programs.rule import Rule
    from .results.comparison import compare
    from .results.loggers import TensorBoard, WandB
    from .results.run import Run, open_run
    from .search.method import Devices, Workers
    from .search.methods.curriculum import CurriculumSearch
    from .search.methods.distillation import Distillation
    from .search.methods.drift import DriftSearch
    from .search.methods.objective import ObjectiveSearch
    from .search.methods.refinement import Refinement
    from .search.methods.symbolic import Symbolic
    from .search.network_distillation import distill_network
    from .search.runs import load

_PLACES = {
    **dict.fromkeys(("Box", "Discrete", "Environment", "Step"), "envs.environment"),
    "Level": "envs.gridworld.level",
    **dict.fromkeys(("Examples", "Splits", "Task"), "envs.tasks"),
    "discover": "launch",
    **dict.fromkeys(("Program", "ProgramError", "RulesmithError"), "programs"),
    "Objective": "programs.objective",
    "Rule": "programs.rule",
    "compare": "results.comparison",
    **dict.fromkeys(("TensorBoard", "WandB"), "results.loggers"),
    **dict.fromkeys(("Run", "open_run"), "results.run"),
    **dict.fromkeys(("Devices", "Workers"), "search.method"),
    "CurriculumSearch": "search.methods.curriculum",
    "Distillation": "search.methods.distillation",
    "DriftSearch": "search.methods.drift",
    "ObjectiveSearch": "search.methods.objective",
    "Refinement": "search.methods.refinement",
    "Symbolic": "search.methods.symbolic",
    "distill_network": "search.network_distillation",
    "flax_leaf_classes": "programs.leaves",
    "load": "search.runs",
    "torch_leaf_classes": "programs.pytorch.modules",
}
"""Where public names stand that are imported when they are first used, since JAX and what is above it take seconds."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("rulesmith")
    if name not in _PLACES:
        raise AttributeError(f"module 'rulesmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "Box",
    "CurriculumSearch",
    "Devices",
    "Discrete",
    "Distillation",
    "DriftSearch",
    "Environment",
    "Examples",
    "Level",
    "Objective",
    "ObjectiveSearch",
    "Program",
    "ProgramError",
    "Refinement",
    "Rule",
    "RulesmithError",
    "Run",
    "Splits",
    "Step",
    "Symbolic",
    "Task",
    "TensorBoard",
    "WandB",
    "Workers",
    "compare",
    "discover",
    "distill_network",
    "flax_leaf_classes",
    "load",
    "open_run",
    "torch_leaf_classes",
]
