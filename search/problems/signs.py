"""Signs of life: figures of a step that tell whether each part of the agents and of the rule does anything.

They are numbers of a step's metrics; `results.signs_of_life` says in words what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...envs.environment import Discrete, Environment


def signs_of(found: Mapping[str, Any], env: Environment, classes: int = 0) -> dict[str, float]:
    """Return the signs of life of a step as metrics; those that were not measured are left out.

    Args:
        found: what was measured of each agent, arrays ``(agents,)``; NaN of one that diverged or did not live.
        env: their environment: entropies of policies are shares of the greatest, which only discrete actions have.
        classes: number of classes of y.
    """
    means = {name: _mean(values) for name, values in found.items()}
    most = math.log(env.actions.count) if isinstance(env.actions, Discrete) else math.nan
    signs = {
        "policy_entropy": means.get("entropy", math.nan) / most,
        "y_entropy": means.get("y entropy", math.nan) / math.log(classes) if classes > 1 else math.nan,
        "y_spread": means.get("y spread", math.nan),
        "clipped": means.get("clipped", math.nan),
        "explained_variance": 1.0 - _ratio(means, "unexplained variance", "target variance"),
        "regularizers": _ratio(means, "regularizers", "objective"),
    }
    return {name: value for name, value in signs.items() if math.isfinite(value)}


def _mean(values: Any) -> float:
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return float(finite.mean()) if finite.size else math.nan


def _ratio(means: Mapping[str, float], above: str, below: str) -> float:
    return means[above] / means[below] if means.get(below) and above in means else math.nan


__all__ = ["signs_of"]
