"""Tuning: all contestants try the same number of points of one quasi-random sequence, each over its own ranges.

`settings` and `successive_halving` (Jamieson and Talwalkar 2016) serve optimizers and agents alike; the rest of this
module tunes optimizers on supervised tasks, by their losses on validation data: all settings are tried in short
trainings, the better ones in whole trainings, the best of these with more seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from scipy.stats import qmc

from ..envs.tasks import Task
from ..programs import RulesmithError
from ..programs.rule import Rule
from .judging import Kept, plain
from .training import Factory, Trainer, accelerator_bytes, bytes_of

TUNING_SEEDS = 3
"""Number of seeds with which a comparison tries a setting."""
MOST = 12
"""The most numbers of a contestant that are tuned."""
FROM_ONE = "1 - "
"""What the name of a range begins with where the distance from 1 is drawn, as for weights of averages."""
SHORT = 4
"""A short training has this part of a whole one's steps."""
WHOLE, BEST = 2, 8
"""One of so many settings is tried in a whole training, and one of so many with all seeds."""


@dataclass(frozen=True, kw_only=True)
class Tuned(Kept):
    """An optimizer tuned on a task: its best setting, and the losses of all `Tried`s.

    Attributes:
        validation: mean validation loss over the seeds at the best setting; None if it diverged.
        test: mean test loss there; None if it diverged.
        whole: for each of the `tuning`, the number of whole trainings by which it was judged; 0 if its loss is what a
            short training lets expect.
    """

    validation: float | None
    test: float | None
    whole: list[int]


def tuning_trainer(task: Task) -> Trainer:
    """Return what trains a task while it is tuned, with more trainings at once on an accelerator than on a CPU.

    There they take a sixteenth of its memory, so that several worker processes may share it.
    """
    if jax.default_backend() == "cpu":
        return Trainer(task, runs=8)
    return Trainer(task, runs=min(64, max(8, int(accelerator_bytes() / 16 / bytes_of(task, 1)))))


def ranges_of(rule: Rule) -> dict[str, tuple[float, float]]:
    """Return what is tuned of a rule, `learning_rate` first; see `settings`.

    Raises:
        RulesmithError: the rule has no range of learning rates.
    """
    if rule.learning_rate is None:
        raise RulesmithError(f"{rule.name} has no range of learning rates; add [tuning] learning_rate = [low, high]")
    return {"learning_rate": rule.learning_rate, **rule.ranges}


def settings(ranges: Mapping[str, tuple[float, float]], trials: int) -> list[dict[str, float]]:
    """Return the settings tried: points of one scrambled Sobol sequence, each range on a logarithmic scale.

    Contestants with the same ranges of learning rates try the same learning rates, whatever else they tune.

    Args:
        ranges: (low, high) of what is tuned, by name. Under the name `1 - b1` it is a range of the distance of the
            hyperparameter `b1` from 1.
        trials: how many settings.
    """
    sequence = qmc.Sobol(MOST, scramble=True, rng=np.random.default_rng(0))
    points = sequence.random_base2(max(trials - 1, 1).bit_length())[:trials]
    found = []
    for point in points:
        setting = {}
        for (name, (low, high)), x in zip(ranges.items(), point, strict=False):
            value = float(f"{low * (high / low) ** x:.4g}")
            setting[name.removeprefix(FROM_ONE)] = round(1.0 - value, 12) if name.startswith(FROM_ONE) else value
        found.append(setting)
    return found


class Tried(NamedTuple):
    """A setting that was tried.

    Attributes:
        setting: learning rate and hyperparameters.
        validation: mean validation loss; infinite if it diverged. Of a short training, it is what a whole one is
            expected to reach, by the settings of which both are known.
        test: mean test loss of whole trainings; NaN if there was none.
        seeds: seeds of whole trainings.
    """

    setting: dict[str, float]
    validation: float
    test: float
    seeds: int


class Round(NamedTuple):
    """A round of the halving.

    Attributes:
        settings: how many settings are tried, the best of the round before.
        seeds: with which seeds.
        part: one of so many of a whole training's steps is made.
    """

    settings: int
    seeds: range
    part: int


def rounds(trials: int, seeds: int) -> list[Round]:
    """Return the rounds in which settings are tried; few settings (up to `BEST`) are all tried with all seeds."""
    every = range(1000, 1000 + seeds)  # a search uses other seeds
    if trials <= BEST:
        return [Round(trials, every, 1)]
    whole = [Round(-(-trials // WHOLE), every[:1], 1), Round(max(BEST // 2, -(-trials // BEST)), every[1:], 1)]
    return [Round(trials, every[:1], SHORT), *(each for each in whole if each.seeds)]


def tuning_steps(task: Task, trials: int, seeds: int) -> int:
    """Return how many steps of training `tune` makes."""
    return sum(each.settings * len(each.seeds) * max(1, task.steps // each.part) for each in rounds(trials, seeds))


def tune(
    rule: Rule | Factory,
    ranges: Mapping[str, tuple[float, float]],
    task: Task,
    *,
    trials: int,
    seeds: int,
    trainer: Trainer | None = None,
    told: Callable[[float], None] = lambda _: None,
) -> Tuned:
    """Return the setting with the smallest mean validation loss, and all that were tried; see `tried`."""
    trainer = trainer or tuning_trainer(task)
    found = tried(rule, ranges, task, trials=trials, seeds=seeds, trainer=trainer, told=told)
    best = best_tried(found)
    return Tuned(
        task=task.name,
        setting=best.setting,
        validation=plain(best.validation),
        test=plain(best.test),
        tuning=[[trial.setting, plain(trial.validation)] for trial in found],
        whole=[trial.seeds for trial in found],
    )


def best_tried(found: Sequence[Tried]) -> Tried:
    """Return the best of those that were tried with the most seeds."""
    most = max(trial.seeds for trial in found)
    return min((trial for trial in found if trial.seeds == most), key=lambda trial: trial.validation)


def tried(
    rule: Rule | Factory,
    ranges: Mapping[str, tuple[float, float]],
    task: Task,
    *,
    trials: int,
    seeds: int,
    trainer: Trainer,
    told: Callable[[float], None] = lambda _: None,
) -> list[Tried]:
    """Return every setting of the sequence with its losses, after successive halving; see `rounds`.

    Args:
        rule: what is tuned.
        ranges: see `settings`.
        task: what it trains.
        trials: settings.
        seeds: seeds of the best settings.
        trainer: trains the task.
        told: see `Trainer.losses_at`; in the end it was told of `tuning_steps`.
    """
    points = settings(ranges, trials)
    short: dict[int, float] = {}
    known: dict[int, np.ndarray] = {}

    def losses(which: Sequence[int], each: Round) -> Sequence[float]:
        steps = max(1, task.steps // each.part)
        found = trainer.losses_at(rule, [points[i] for i in which], each.seeds, steps=steps, told=told)
        found = np.where(np.isfinite(found), found, np.inf)
        if each.part > 1:
            short.update(zip(which, found[:, 0, 0], strict=True))
            return [short[i] for i in which]
        for i, rows in zip(which, found, strict=True):
            known[i] = np.concatenate([known[i], rows]) if i in known else rows
        return [known[i].mean(axis=0)[0] for i in which]

    def trial(i: int) -> Tried:
        validation, test = known[i].mean(axis=0)
        return Tried(points[i], float(validation), float(test), len(known[i]))

    successive_halving([(each.settings, functools.partial(losses, each=each)) for each in rounds(trials, seeds)])
    if not short:
        return [trial(i) for i in range(trials)]
    validation = np.array([rows[0, 0] for rows in known.values()])
    with np.errstate(invalid="ignore"):
        ratios = validation / np.array([short[i] for i in known])
    usual = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 1.0
    least = np.min(validation)
    return [
        trial(i) if i in known else Tried(point, float(np.maximum(short[i] * usual, least)), float("nan"), 0)
        for i, point in enumerate(points)
    ]


def successive_halving(rounds: Sequence[tuple[int, Callable[[Sequence[int]], Sequence[float]]]]) -> list[int]:
    """Try settings in rounds, in each only the best of the one before; return the places of the last, the best first.

    Args:
        rounds: for each, how many settings are tried, and a function of their places to what they are worth, smaller is
            better, NaN the worst. The first tries the settings from 0 on.
    """
    going = list(range(rounds[0][0]))
    for count, worth in rounds:
        going = going[:count]
        going = [going[int(i)] for i in np.argsort(np.asarray(worth(going), float), kind="stable")]
    return going
