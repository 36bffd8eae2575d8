"""Objectives, and runs that search them, as text for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..programs.objective import Objective
from ..search.array_store import ArrayStore
from .display import sparkline
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


def _curve(store: ArrayStore) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """Return the generations up to the last checkpoint, and its number."""
    last = store.last_state()
    step = last[0] if last else 0
    return [(number, metrics) for number, metrics in store.steps() if number <= step], step


def run_json(store: ArrayStore, *, stats: bool) -> dict[str, Any]:
    """Return a run as JSON: what it is, its generations and its rule's hash; with `stats`, clock and versions too."""
    rows, step = _curve(store)
    report: dict[str, Any] = {
        "method": store.fact("method"),
        "config": store.fact("config"),
        "reference": store.fact("reference"),
        "generations": step,
        "rule": store.digest() if step else None,
        "curve": [{k: v for k, v in metrics.items() if k != "seconds"} for _, metrics in rows],
    }
    if stats:
        seconds = store.seconds()
        steps = sum(metrics["env_steps"] for _, metrics in rows)
        report["stats"] = {
            "seconds": seconds,
            "env_steps_per_second": steps / seconds if seconds else None,
            "versions": store.fact("versions"),
            "python": store.fact("python"),
            "started": store.fact("started"),
        }
    return report


def run_text(store: ArrayStore) -> Group:
    """Return a run for the terminal."""
    config, rows, reference = store.fact("config"), _curve(store)[0], store.fact("reference") or {}
    low, high = config["horizon"]
    head = (
        f"{store.directory}: search for an objective, {config['rule']} by {config['strategy']}, seed {config['seed']}"
    )
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(f"environments {', '.join(config['environments'])}; lifetimes of {low:,.0f} to {high:,.0f} steps"),
    ]
    if not rows:
        return Group(*parts, Text("no checkpoint yet"))
    steps, seconds = sum(metrics["env_steps"] for _, metrics in rows), store.seconds()
    rate = steps / seconds if seconds else 0.0
    parts.append(
        Text(f"{len(rows):,} generations, {steps:,} steps in {seconds / 60:.1f} minutes ({rate:,.0f} a second)")
    )
    shown = table("environment", "random", "tuned PPO", "its learning rate", right=("random", "tuned PPO"))
    for name, row in reference.items():
        shown.add_row(name, f"{row['random']:.2f}", f"{row['ppo']:.2f}", f"{row['learning_rate']:g}")
    parts += [Text(), shown]
    centers = [metrics["center"] for _, metrics in rows]
    tenth = max(1, len(centers) // 10)
    first, last = np.mean(centers[:tenth]), np.mean(centers[-tenth:])
    parts += [
        Text("\nreturn of the strategy's mean, by generation (0 random, 1 tuned PPO)", style="bold"),
        Text(sparkline(centers), style="cyan"),
        Text(f"first tenth {first:.3f}, last tenth {last:.3f}; each is noisy: lifetimes are drawn anew"),
        Text(),
    ]
    return Group(*parts, objective_text(store.best_rule()))
