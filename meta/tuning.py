"""Tuning: all contestants try the same quasi-random sequence of settings, each over its own ranges.

`settings` serves optimizers and agents alike; the rest of this module tunes optimizers on supervised tasks, by their
losses on validation data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import qmc

from ..envs.tasks import Task
from ..programs import RulesmithError
from ..programs.rule import Rule
from .training import Factory, Trainer

TUNING_SEEDS = 3
"""Number of seeds with which a comparison tries a setting."""
TUNED = ("weight_decay",)
"""Hyperparameters that are tuned beside the learning rate, where a rule has a range for them."""


@dataclass(frozen=True)
class Tuned:
    """The best setting of a rule on a task.

    Attributes:
        rule: the rule's name.
        task: the task's name.
        setting: learning rate and hyperparameters.
        validation: mean validation loss over the seeds there.
        test: mean test loss over the seeds there.
        trials: settings tried.
        seeds: seeds of each trial.
    """

    rule: str
    task: str
    setting: dict[str, float]
    validation: float
    test: float
    trials: int
    seeds: int

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain data."""
        return asdict(self)


BASELINES = Path(__file__).parents[1] / "results" / "baselines.json"
"""Tuned settings that rulesmith ships, with the command that made them."""


def baseline(rule: str, task: str) -> dict[str, float] | None:
    """Return the setting of a rule on a task that rulesmith ships, or None."""
    for row in json.loads(BASELINES.read_text())["baselines"]:
        if (row["rule"], row["task"]) == (rule, task):
            return row["setting"]
    return None


def ranges_of(rule: Rule) -> dict[str, tuple[float, float]]:
    """Return what is tuned of a rule, `learning_rate` first.

    Raises:
        RulesmithError: the rule has no range of learning rates.
    """
    if rule.learning_rate is None:
        raise RulesmithError(f"{rule.name} has no range of learning rates; add [tuning] learning_rate = [low, high]")
    return {"learning_rate": rule.learning_rate, **{n: r for n, r in rule.ranges.items() if n in TUNED}}


def settings(ranges: Mapping[str, tuple[float, float]], trials: int) -> list[dict[str, float]]:
    """Return the settings tried: points of a Halton sequence, each range on a logarithmic scale.

    Args:
        ranges: (low, high) of what is tuned, by name.
        trials: how many settings.
    """
    points = qmc.Halton(len(ranges), scramble=False).random(trials + 1)[1:]  # its first point is the corner
    return [
        {n: float(f"{low * (high / low) ** x:.4g}") for (n, (low, high)), x in zip(ranges.items(), point, strict=True)}
        for point in points
    ]


def tune(rule: Rule, task: Task, *, trials: int, seeds: int, trainer: Trainer | None = None) -> Tuned:
    """Return the setting with the smallest mean validation loss."""
    found = tried(rule, ranges_of(rule), task, trials=trials, seeds=seeds, trainer=trainer or Trainer(task))
    setting, validation, test = min(found, key=lambda row: row[1])
    return Tuned(rule.name, task.name, setting, validation, test, trials, seeds)


def tried(
    rule: Rule | Factory,
    ranges: Mapping[str, tuple[float, float]],
    task: Task,
    *,
    trials: int,
    seeds: int,
    trainer: Trainer,
) -> list[tuple[dict[str, float], float, float]]:
    """Return every setting tried with its mean losses on validation data (infinite if it diverged) and on test data.

    Seeds begin at 1,000; a search uses other seeds.
    """
    rows = []
    for setting in settings(ranges, trials):
        options = dict(setting)
        rate = options.pop("learning_rate")
        losses = trainer.losses(rule, [rate], range(1000, 1000 + seeds), hyperparameters=options)[0].mean(axis=0)
        rows.append((setting, float(np.nan_to_num(losses[0], nan=np.inf)), float(losses[1])))
    return rows
