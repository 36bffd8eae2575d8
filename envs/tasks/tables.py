"""Tables that scikit-learn ships: classifiers (breast cancer, wine, iris) and a regressor (diabetes)."""

from __future__ import annotations

import functools

import numpy as np

from ..models import Mlp
from .task import Examples, Splits, Task, cross_entropy, shuffled_splits, squared_error


def _table(name: str) -> Splits:
    """Columns, and the target of a regression, standardized by the training part; integer labels."""
    from sklearn import datasets

    splits = shuffled_splits(*getattr(datasets, f"load_{name}")(return_X_y=True), validation=0.25, test=0.25)
    inputs, targets = splits.train
    regression = name == "diabetes"

    def scaled(part: Examples) -> Examples:
        x = ((part.inputs - inputs.mean(0)) / inputs.std(0)).astype(np.float32)
        if regression:
            return Examples(x, ((part.targets - targets.mean()) / targets.std())[:, None].astype(np.float32))
        return Examples(x, part.targets.astype(np.int32))

    return Splits(*map(scaled, splits))


_OUTPUTS = {"breast_cancer": 2, "wine": 3, "iris": 3, "diabetes": 1}
_WIDTHS = {"2k": ((32, 24), 100), "20k": ((128, 112), 200), "200k": ((416, 416), 400)}

TASKS = [
    Task(
        f"{name.replace('_', '-')}-mlp-{size}",
        name.replace("_", "-"),
        functools.partial(_table, name),
        Mlp((*widths, outputs)),
        squared_error if outputs == 1 else cross_entropy,
        steps,
        batch_size=32,
    )
    for name, outputs in _OUTPUTS.items()
    for size, (widths, steps) in _WIDTHS.items()
]
