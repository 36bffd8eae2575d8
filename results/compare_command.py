"""What `rulesmith compare` prints and keeps: of objectives, and (by `training_compare_text`) of optimizers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from ..programs import RulesmithError, rule_file
from ..programs.objective import Objective
from ..search.executors import cache_compilations
from . import statistics
from .catalog import called, load
from .comparison import BASELINE, Comparison, compare
from .layout import table


def run_comparison(
    names: Sequence[str],
    environments: Sequence[str],
    horizons: Sequence[float],
    *,
    seeds: int,
    trials: int,
    agent: Sequence[str],
    output: Path | None,
) -> Group:
    """Compare objectives and return what to print; with `output`, keep all of it as JSON.

    Raises:
        RulesmithError: see `compare`; or a rule is no objective.
    """
    if not environments or not horizons:
        raise RulesmithError(
            "name --tasks (of optimizers), or at least one --env or --levels and one --horizon, in environment steps"
        )
    rules = [_objective(name) for name in names]
    baselines = [BASELINE, *(["a2c"] if any(rule.kind == "lpg" for rule in rules) else [])]
    rules += [rule_file.find_objective(name) for name in baselines if name not in [rule.name for rule in rules]]
    shared = _shared(agent) if agent else next((dict(rule.agent) for rule in rules if rule.arrays), {})
    cache_compilations()
    found = compare(
        rules,
        environments,
        horizons,
        seeds=seeds,
        trials=trials,
        agent=shared,
        status=_progress,
    )
    if output:
        rule_file.write_text(output, json.dumps(found.to_dict(), indent=1) + "\n")
    return comparison_text(found)


def run_training_comparison(
    names: Sequence[str], tasks: Sequence[str], *, seeds: int, trials: int, workers: int | None, output: Path | None
) -> Group:
    """Compare optimizers and return what to print; with `output`, keep all of it as JSON.

    Raises:
        RulesmithError: see `compare_optimizers`.
    """
    from .training_compare_text import training_comparison_text
    from .training_comparison import compare_optimizers

    sys.path.insert(0, str(Path.cwd()))  # for optimizers and tasks by import path
    found = compare_optimizers(names, tasks, seeds=seeds, trials=trials, workers=workers, status=_progress)
    if output:
        rule_file.write_text(output, json.dumps(found.to_dict(), indent=1) + "\n")
    return training_comparison_text(found)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _objective(name: str) -> Objective:
    rule = load(name)
    if not isinstance(rule, Objective):
        raise RulesmithError(f"{name} is an optimizer; `compare` takes objectives of reinforcement learning")
    return replace(rule, name=called(name, rule.name))


def _shared(words: Sequence[str]) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            shared[name] = json.loads(value) if equals else None
        except ValueError:
            shared[name] = value
        if not equals:
            raise RulesmithError(f"--agent {word}: give NAME=VALUE, such as workers=16 or widths=[32,32]")
    return shared


def _learned(found: Comparison) -> list[bool]:
    """Return for each task whether PPO's mean return is above that of learning nothing by four standard errors."""
    rows = []
    for outcome, low in zip(found.outcomes[BASELINE], found.random, strict=True):
        error = np.nanstd(outcome.returns, ddof=1) / np.sqrt(len(outcome.returns))
        rows.append(bool(np.nanmean(outcome.returns) - low > 4 * error))
    return rows


def comparison_text(found: Comparison) -> Group:
    """Return a comparison for the terminal: returns by task, then the statistics over all tasks."""
    names = list(found.outcomes)
    returns = table("environment", "steps", "random", *names, right=("steps", "random", *names))
    for i, (env, horizon) in enumerate(found.tasks):
        cells = []
        for name in names:
            values = found.outcomes[name][i].returns
            error = np.nanstd(values, ddof=1) / np.sqrt(len(values))
            cells.append(f"{np.nanmean(values):.2f} ±{error:.2f}")
        returns.add_row(env, f"{horizon:,.0f}", f"{found.random[i]:.2f}", *cells)
    columns = ("interquartile mean, 0 random, 1 PPO", "better than PPO in", "at least as good as PPO in")
    overall = table("rule", *columns)
    base = found.scores(BASELINE)
    for name in names:
        scores = found.scores(name)
        better = "" if name == BASELINE else str(statistics.improvement(scores, base))
        share = (scores >= 1.0 - 1e-9).mean()
        overall.add_row(name, str(statistics.aggregate(scores)), better, f"{share:.0%} of runs")
    agent = ", ".join(f"{name} {value}" for name, value in found.agent.items()) or "the reference settings"
    flat = [
        f"{env} at {steps:,.0f} steps" for (env, steps), learned in zip(found.tasks, _learned(found)) if not learned
    ]
    if flat:
        note = f"\nPPO learned nothing that stands out from noise, so scores say little, in {', '.join(flat)}."
    else:
        note = ""
    note = (
        f"{found.seeds} seeds each, after {found.trials} settings tried of every rule on every task; agents: {agent}.\n"
        f"Brackets are 95% stratified bootstrap intervals; ± is the standard error of the mean return.{note}"
    )
    return Group(returns, Text(), overall, Text(), Text(note))
