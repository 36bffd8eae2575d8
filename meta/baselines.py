"""Tuned settings that rulesmith ships (`results/baselines.json`), so that nobody need tune the usual optimizers again.

A row says what a rule was tuned to on a task, and by what it was found: losses of all settings that were tried. It
counts only for the same rule, task, settings and seeds, by its `mark`; else the rule is tuned anew. Rows without losses
serve searches, which want the best setting alone.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ..envs.marks import hash_of
from ..envs.tasks import Task
from ..programs.rule import Rule
from .contestants import Contestant
from .training import WARM_UP
from .tuning import Tuned, settings

BASELINES = Path(__file__).parents[1] / "results" / "baselines.json"
"""The rows, with the commands that made them."""
_DIGITS = 6
"""Digits of a loss in a row."""


@functools.cache
def _rows(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["baselines"]


def _facts(task: Task) -> dict[str, Any]:
    return {"task": task.name, "weights": task.parameters, "steps": task.steps, "batch": task.batch_size}


def _mark(rule: Rule, tried: Sequence[Mapping[str, float]], task: Task, seeds: int) -> str:
    """Return a hash of all that a tuning depends on, but for what machine and which JAX made it."""
    programs = {label: program.to_text() for label, program in rule.programs.items()}
    return hash_of(programs, rule.hyperparameters, tried, seeds, WARM_UP, _facts(task), task.data_mark())


def row_of(contestant: Contestant, task: Task, tuned: Tuned, seeds: int) -> dict[str, Any]:
    """Return a tuned optimizer as a row, plain data.

    Args:
        contestant: the optimizer; one that is no rule gets no mark, since its function has no text to know it by.
        task: what it trained.
        tuned: what was found.
        seeds: seeds of the best settings.
    """
    losses = [None if loss is None else float(f"{loss:.{_DIGITS}g}") for _, loss in tuned.tuning]
    figures = {"validation": tuned.validation, "test": tuned.test, "trials": len(losses), "seeds": seeds}
    row = {"rule": contestant.name, **_facts(task), "setting": tuned.setting, **figures, "jax": metadata.version("jax")}
    if isinstance(contestant.rule, Rule):
        row["mark"] = _mark(contestant.rule, settings(contestant.ranges, len(losses)), task, seeds)
    return row | {"losses": losses, "whole": tuned.whole}


def baseline(rule: str, task: Task) -> dict[str, float] | None:
    """Return the setting of a rule on a task that rulesmith ships, or None."""
    wanted = {"rule": rule, **_facts(task)}
    return next((row["setting"] for row in _rows(BASELINES) if row.items() >= wanted.items()), None)


def shipped(contestant: Contestant, task: Task, *, trials: int, seeds: int) -> Tuned | None:
    """Return a rule as tuned on a task, if rulesmith ships that, as `tune` would return it; None otherwise.

    Args:
        contestant: the rule; of other optimizers nothing is shipped.
        task: what it trains.
        trials: settings tried.
        seeds: seeds of the best settings.
    """
    wanted = {"task": task.name, "trials": trials, "seeds": seeds}
    rows = [row for row in _rows(BASELINES) if "mark" in row and row.items() >= wanted.items()]
    if not rows or not isinstance(contestant.rule, Rule):
        return None
    tried = settings(contestant.ranges, trials)
    mark = _mark(contestant.rule, tried, task, seeds)
    for row in rows:
        if row["mark"] == mark:
            return Tuned(
                task=task.name,
                setting=row["setting"],
                tuning=[[setting, loss] for setting, loss in zip(tried, row["losses"], strict=True)],
                validation=row["validation"],
                test=row["test"],
                whole=row["whole"],
            )
    return None
