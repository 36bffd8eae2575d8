"""Objectives, and runs that search them, as text for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..programs.objective import Objective
from ..search.numerics import computing
from .layout import code, facts_table, table


def objective_text(objective: Objective) -> Group:
    """Return an objective for the terminal."""
    title = f"{objective.name}: {objective.description}" if objective.description else objective.name
    parts: list[Any] = [Text(title, style="bold"), Text()]
    if objective.program is not None:
        parts += [code(objective.program.to_text()), Text(), Text(f"digest {objective.program.digest}")]
    else:
        size = sum(array.size for array in objective.arrays.values())
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in objective.arrays.items())
        parts.append(Text(f"a network of {size:,} parameters: {shapes}"))
    timed = "reads" if objective.timed else "does not read"
    parts.append(Text(f"kind {objective.kind}; {timed} how much of the lifetime is over"))
    if objective.kind == "drift" and objective.arrays:
        parts += [Text(), _slopes(objective)]
    for name, facts in (("agent", objective.agent), ("origin", objective.provenance), ("evidence", objective.evidence)):
        if facts:
            parts += [Text(), facts_table(name, facts)]
    return Group(*parts)


MOMENTS = (0.0, 0.5, 0.95)
RATIOS = (0.5, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)


@computing()
def slopes(objective: Objective, ratios: Any, advantage: float, progress: float) -> np.ndarray:
    """Return the pull on the ratio, A - d drift / d r, at some ratios; PPO's is A inside its clip and 0 outside."""
    import jax.numpy as jnp

    from ..programs.drift import drift_slope

    drift, arrays = objective.drift(), objective.arrays
    logs = jnp.log(jnp.asarray(ratios, jnp.float32))
    advantages = jnp.full_like(logs, advantage)
    found = drift_slope(lambda r, log_r, a: drift(arrays, r, log_r, a, jnp.float32(progress)), logs, advantages)
    return np.asarray(advantages - found)


def _slopes(objective: Objective) -> Table:
    rows = table("pull at ratio", *(f"{ratio:g}" for ratio in RATIOS), right=[f"{ratio:g}" for ratio in RATIOS])
    for advantage in (1.0, -1.0):
        for moment in MOMENTS if objective.timed else (0.0,):
            when = f", {moment:.0%} of the lifetime" if objective.timed else ""
            values = slopes(objective, RATIOS, advantage, moment)
            rows.add_row(f"A = {advantage:+g}{when}", *(f"{value:.2f}" for value in values))
    return rows


def objective_json(objective: Objective) -> dict[str, Any]:
    """Return an objective as JSON."""
    program = objective.program
    return {
        "name": objective.name,
        "kind": objective.kind,
        "description": objective.description,
        "program": None if program is None else {"text": program.to_text(), "digest": program.digest},
        "arrays": {name: list(array.shape) for name, array in objective.arrays.items()},
        "timed": objective.timed,
        "agent": dict(objective.agent),
        "provenance": dict(objective.provenance),
        "evidence": dict(objective.evidence),
    }
