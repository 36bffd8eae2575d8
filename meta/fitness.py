"""The fitness of a program: its loss relative to tuned AdamW's, over tasks and seeds.

A learning rate is a free choice, so it must not decide. A program is first tried on a *pilot*, few steps of the first
task, at step sizes that are set by the root mean square of its own updates (see `training`): a multiple of a program
has the same fitness. The best step size, and some near it, are then tried on each task in full, and the best for each
task counts. AdamW, which the losses are divided by, was tuned on each task over learning rate and weight decay, and is
given a finer choice of learning rates here; so no factor makes it look worse than it is.

A program that is hopeless after the pilot, or after a task, is stopped; its fitness is what was seen until then.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ..envs.tasks import find
from ..programs import Program, ProgramError, rule_file
from ..programs.rule import Rule
from .score import Score
from .training import Trainer
from .tuning import tune

RUNS = 6
"""Runs in one call: the pilot's step sizes, and step sizes times seeds of a task."""

PILOT_SIZES = tuple(1.5e-3 * 2.7**i for i in range(RUNS))
"""Root mean squares of the update that the pilot tries."""

FACTORS = (0.3, 0.6, 1.2)
"""Step sizes tried on each task, relative to the pilot's best (a longer training wants smaller ones)."""


@dataclass(frozen=True)
class Reference:
    """AdamW's losses, which a program's are divided by: in the pilot, and on each task."""

    pilot: float
    tasks: dict[str, float]


@dataclass(frozen=True)
class Focus:
    """Tasks to try a program on first, and the program that it has to beat there. Plain data.

    Attributes:
        tasks: names.
        fitness: of the program to beat.
        losses: of that, by task, relative to tuned AdamW's.
    """

    tasks: tuple[str, ...]
    fitness: float
    losses: dict[str, float]

    def estimate(self, losses: dict[str, float]) -> float:
        """Return a program's fitness from its losses on the tasks in focus: the other's, times how they compare."""
        return self.fitness * _geometric_mean({name: losses[name] / self.losses[name] for name in self.tasks})


@dataclass(frozen=True)
class Protocol:
    """How programs are tried. Plain data, so that it can be sent to other processes.

    Attributes:
        tasks: names or import paths, cheapest first.
        seeds: seeds of initial weights and batches; the same for all programs.
        pilot_steps: length of the pilot.
        hopeless_pilot: relative loss of the pilot above which a program is stopped.
        hopeless: the same for the mean over the tasks tried so far.
    """

    tasks: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1)
    pilot_steps: int = 60
    hopeless_pilot: float = 1.4
    hopeless: float = 1.15


@functools.cache
def _trainer(task: str) -> Trainer:
    return Trainer(find([task])[0], runs=RUNS)


class Fitness:
    """The function of a program to its `Score`."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol

    def __call__(self, program: Program, reference: Reference, focus: Focus | None = None) -> Score:
        """Return the program's score; never raises for what a program does.

        With a focus, a program that does not beat the other there is stopped, its fitness estimated.
        """
        protocol = self.protocol
        first = focus.tasks if focus else ()
        tasks = (*first, *(name for name in protocol.tasks if name not in first))
        try:
            pilot = self._pilot(program)
            best = int(np.argmin(pilot))
            relative = float(pilot[best]) / reference.pilot
            if not math.isfinite(relative):
                return Score(math.inf, "diverges in the pilot at every step size", {})
            if relative > protocol.hopeless_pilot:
                return Score(relative, f"hopeless after the pilot: {relative:.3f}", {})
            losses: dict[str, float] = {}
            for name in tasks:
                loss = self._task(program, name, [PILOT_SIZES[best] * factor for factor in FACTORS], relative=True)
                losses[name] = loss / reference.tasks[name]
                fitness = _geometric_mean(losses)
                if not math.isfinite(fitness):
                    return Score(math.inf, f"diverges on {name} at every step size", losses)
                if len(losses) < len(first):
                    continue
                if focus and len(losses) == len(first):
                    # Measured by the best program's losses there: these are tasks on which that is itself bad.
                    if (fitness := focus.estimate(losses)) >= focus.fitness:
                        return Score(fitness, f"no better than the best on {', '.join(first)}: {fitness:.3f}", losses)
                elif fitness > protocol.hopeless and len(losses) < len(tasks):
                    return Score(fitness, f"hopeless after {name}: {fitness:.3f}", losses)
            return Score(_geometric_mean(losses), "", losses)
        except ProgramError as error:
            return Score(math.inf, str(error), {})

    def _pilot(self, program: Program | Rule, **hyperparameters: float) -> np.ndarray:
        """Return the losses of the pilot, one for each step size; infinite where it diverges."""
        trainer = _trainer(self.protocol.tasks[0])
        losses = trainer.losses(
            program,
            PILOT_SIZES,
            self.protocol.seeds[:1],
            relative=True,
            steps=self.protocol.pilot_steps,
            interpreted=True,
            hyperparameters=hyperparameters,
        )
        return np.nan_to_num(losses[:, 0, 0], nan=np.inf)

    def _task(self, rule: Program | Rule, name: str, scales: list[float], *, relative: bool, **options: float) -> float:
        """Return the validation loss, meaned over seeds, at the best of some step sizes."""
        seeds = self.protocol.seeds
        losses = _trainer(name).losses(
            rule, scales, seeds, relative=relative, interpreted=True, hyperparameters=options
        )
        return float(np.nan_to_num(losses[:, :, 0].mean(axis=1), nan=np.inf).min())

    def measure_pilot(self, program: Program) -> float:
        """Return a program's loss in the pilot, at its best step size; infinite if it diverges."""
        return float(self._pilot(program).min())

    def measure_adamw(self, name: str, setting: dict[str, float] | None) -> tuple[float, float]:
        """Return AdamW's losses under this protocol: in the pilot (NaN but for the first task), and on a task.

        Args:
            name: the task's.
            setting: AdamW's tuned `learning_rate` and hyperparameters there; None to tune it now.
        """
        adamw = rule_file.find_optimizer("adamw")
        if setting is None:
            setting = tune(adamw, find([name])[0], trials=24, seeds=3, trainer=_trainer(name)).setting
        options = {key: value for key, value in setting.items() if key != "learning_rate"}
        rates = [setting["learning_rate"] * 2.0 ** (i / 2) for i in range(-3, 3)]
        loss = self._task(adamw, name, rates, relative=False, **options)
        pilot = float(self._pilot(adamw, **options).min()) if name == self.protocol.tasks[0] else math.nan
        return pilot, loss


def _geometric_mean(losses: dict[str, float]) -> float:
    logs = [math.log(loss) if loss > 0 else -math.inf for loss in losses.values()]
    return math.exp(sum(logs) / len(logs)) if all(math.isfinite(log) for log in logs) else math.inf
