"""Parameters that a search over networks starts from."""

from __future__ import annotations

import numpy as np

from ..programs.objective import Shapes


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
