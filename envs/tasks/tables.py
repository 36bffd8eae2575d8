"""Tables that scikit-learn ships: classifiers (breast cancer, wine, iris) and a regressor (diabetes).

Their test parts are small, so they serve searches and not claims.
"""

from __future__ import annotations

import functools

import numpy as np

from ..models import Mlp
from .family import family
from .task import Examples, Splits, cross_entropy, shuffled_splits, squared_error


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


def _network(outputs: int, width: int) -> Mlp:
    return Mlp((width, width, outputs))


_OUTPUTS = {"breast_cancer": 2, "wine": 3, "iris": 3, "diabetes": 1}

TASKS = [
    task
    for name, outputs in _OUTPUTS.items()
    for task in family(
        f"{name.replace('_', '-')}-mlp",
        name.replace("_", "-"),
        functools.partial(_table, name),
        functools.partial(_network, outputs),
        squared_error if outputs == 1 else cross_entropy,
        widths={"breast_cancer": (30, 126, 432, 1400)}.get(name, (36, 134, 440, 1408)),
        steps=100,
        batch_size=32,
    )
]
