"""What a search over networks starts from: the parameters, and the form of its agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..meta.drift_learner import CLIPPED_FORM
from ..meta.lpg_learner import PUBLISHED_FORM
from ..programs.objective import Shapes


def settings_of_agents(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the agents that a search trains: a new rule has its published form unless told otherwise.

    Args:
        kind: "drift" or "lpg".
        given: settings that a user gave.
    """
    return {**(PUBLISHED_FORM if kind == "lpg" else CLIPPED_FORM), **given}


def start_arrays(rule: str, hidden: int, seed: int) -> dict[str, np.ndarray]:
    """Return the parameters that a search starts from, float32: PPO's drift, or a random recurrent net.

    Args:
        rule: "lpo", "ta-lpo", "lpg" or "ta-lpg".
        hidden: units of the recurrent net.
        seed: seed of the net.
    """
    timed = rule.startswith("ta-")
    if rule.endswith("lpg"):
        return Shapes.lpg(timed=timed, hidden=hidden).draw(seed, 1.0)
    # A small hidden layer under a zero output: PPO at first, with a gradient to both layers.
    arrays = Shapes.drift(timed=timed).draw(seed, 1.0)
    return {**arrays, "output": np.zeros_like(arrays["output"])}
