"""The fitness of a program: its loss relative to tuned AdamW's, a weighted geometric mean over tasks.

A task weighs by how precisely it measures: by one over the standard deviation of AdamW's log loss over seeds. Without
weights, the few tasks whose losses vary most, between seeds as between rules, would decide the fitness alone.

A learning rate is a free choice, so it must not decide. A program is first tried on a *pilot*, few steps of the first
task, at step sizes that are set by the root mean square of its own updates (see `training`): a multiple of a program
has the same fitness. The best step size differs between tasks; by how much is measured with AdamW. So a program is
trained in full on each task at the step size to be expected there, which is the pilot's best step size times AdamW's
best on the task over AdamW's best in the pilot, and at some near it; the best result counts. AdamW, which the losses
are divided by, was tuned on each task in all its numbers, and gets a finer choice of step sizes here, so no factor
makes it look worse than it is.

A program that is hopeless after the pilot is stopped; so is one that has fallen behind the program to keep up with, or
that is not among the best on a *rung*: a part of a training or a whole one, on one task after another, the cheapest
first (successive halving). Its fitness is estimated from the results so far.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..envs.tasks import Task, find, task_name
from ..envs.tasks.checks import check_yardstick
from ..programs import ProgramError, rule_file
from ..programs.interpreter import encode
from ..programs.parts import Programs
from .baselines import baseline
from .score import Score
from .training import Trainer, programs_at_once, vmapped
from .tuning import ranges_of, tune

PILOT_SIZES = tuple(1.5e-3 * 2.7**i for i in range(6))
"""Root mean squares of the update that the pilot tries."""
RUNS = 6
"""Runs in one call where they are vmapped: the pilot's, or the step sizes times seeds of a task. Else half as many."""
RATES = tuple(float(f"{10 ** (i / 3 - 4):.2g}") for i in range(13))
"""Learning rates that are tried of what a search has found, from 1e-4 to 1."""
SHORT_PART = 3
"""A short training has this part of a task's steps."""
SHORT_WEIGHT = 0.5
"""What a short training says of a task, as a part of what a whole one does."""


NOISE_SEEDS = 12
"""Number of seeds with which AdamW's noise on a task is measured."""
LEAST_NOISE = 0.01
"""Noise below which a task gains no more weight, so that no task has all the weight."""


@dataclass(frozen=True)
class AdamWReference:
    """AdamW's losses, which a program's are divided by: in the pilot, and on each task.

    Attributes:
        pilot: the loss in the pilot; a program is stopped if its own is above `Protocol.hopeless_pilot` times this.
        tasks: AdamW's validation loss on each task, by name.
        sizes: AdamW's best step size on each task, by name, relative to its best in the pilot.
        weights: weight of each task, by name; their sum is 1.
        short: AdamW's validation loss in a short training of each task, by name.
        noise: standard deviation over seeds of AdamW's log loss on each task, by name.
    """

    pilot: float
    tasks: dict[str, float]
    sizes: dict[str, float]
    weights: dict[str, float]
    short: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)

    def fitness(self, losses: Mapping[str, float]) -> float:
        """Return the weighted geometric mean of relative losses; infinite if one is NaN or not above 0."""
        if not all(0 < loss < math.inf for loss in losses.values()):
            return math.inf
        return math.exp(sum(self.weights[name] * math.log(loss) for name, loss in losses.items()))


class Measured(NamedTuple):
    """AdamW on a task.

    Attributes:
        loss: validation loss at the best step size.
        size: that step size.
        noise: standard deviation over seeds of the loss's logarithm.
        short: validation loss in a short training, at its best step size.
    """

    loss: float
    size: float
    noise: float = math.nan
    short: float = math.nan


@dataclass(frozen=True)
class Rung:
    """A training that programs are tried in before they are tried in a costlier one. Plain data.

    Attributes:
        task: its name.
        short: whether it is a short training.
        seeds: seeds of the trainings.
        kept: share of the programs tried here that goes on.
    """

    task: str
    short: bool
    seeds: tuple[int, ...]
    kept: float


@dataclass(frozen=True)
class Bars:
    """The rungs, and what a program must reach on each to go on. Plain data.

    A program's *level* at a rung is the logarithm of its loss relative to AdamW's, a weighted mean over the trainings
    so far. Its fitness is estimated as ``exp(shift + trust * level)``, which draws it to the mean of those that were
    tried there, the more so the more noise a level has.

    Attributes:
        rungs: in the order in which they are climbed.
        bars: for each rung, the level that must not be exceeded.
        shifts: for each rung; see above.
        trust: for each rung; from 0, all noise, to 1, none.
    """

    rungs: tuple[Rung, ...]
    bars: tuple[float, ...]
    shifts: tuple[float, ...]
    trust: tuple[float, ...]

    def estimate(self, number: int, level: float) -> float:
        """Return the fitness to expect of a program with that level at the rung of that number, from 0."""
        return math.exp(self.shifts[number] + self.trust[number] * level)


@dataclass(frozen=True)
class Leader:
    """The program to keep up with, and the tasks to try others on first. Plain data.

    Attributes:
        fitness: the leader's fitness.
        losses: the leader's losses by task, relative to tuned AdamW's.
        first: tasks that are tried first, before anything is compared.
        slack: a program is stopped once its fitness would be this many times the leader's.
    """

    fitness: float
    losses: dict[str, float]
    first: tuple[str, ...] = ()
    slack: float = 1.0

    def estimate(self, losses: Mapping[str, float], reference: AdamWReference) -> float:
        """Return a program's fitness from its losses on some tasks: as if it equalled the leader on the others."""
        return self.fitness * reference.fitness({name: loss / self.losses[name] for name, loss in losses.items()})


@dataclass(frozen=True)
class Protocol:
    """How programs are tried. Plain data, so that it can be sent to other processes.

    Attributes:
        tasks: names, import paths or `Task` objects, cheapest first.
        seeds: seeds of initial weights and batches; the same for all programs.
        factors: step sizes tried on each task, relative to the one expected there.
        pilot_steps: length of the pilot.
        hopeless_pilot: relative loss of the pilot above which a program is stopped.
        memory: GiB for programs that are interpreted at once; see `training.programs_at_once`.
    """

    tasks: tuple[str | Task, ...]
    seeds: tuple[int, ...] = (0, 1)
    factors: tuple[float, ...] = (0.5, 1.0, 2.0)
    pilot_steps: int = 60
    hopeless_pilot: float = 1.4
    memory: float = 0.0


@functools.cache
def _trainer(task: Task, memory: float) -> Trainer:
    runs = RUNS if vmapped(task) else RUNS // 2
    return Trainer(task, runs=runs, programs=programs_at_once(task, runs, memory))


def rungs_of(protocol: Protocol, kept: float) -> tuple[Rung, ...]:
    """Return the rungs of a protocol: the first task's short training, then all trainings of one size after another.

    Of larger networks short trainings with one seed come before the whole ones. All of a kind together keep a share of
    the programs.

    Args:
        protocol: names the tasks, cheapest first.
        kept: share that is kept by the trainings of one size and length together.
    """
    tasks = find(protocol.tasks)
    sizes = [round(math.log10(task.parameters)) for task in tasks]
    levels = [([tasks[0]], True)]
    for size in dict.fromkeys(sizes):
        group = [task for task, own in zip(tasks, sizes, strict=True) if own == size]
        levels += [(group, True), (group, False)] if size != sizes[0] else [(group, False)]
    found = []
    for group, short in levels:
        for task in group:
            seeds = protocol.seeds[:1] if short and not vmapped(task) else protocol.seeds
            found.append(Rung(task_name(task), short, seeds, kept ** (1 / len(group))))
    return tuple(found)


class Trial(NamedTuple):
    """Trainings that a program's score waits for: a task, step sizes, seeds, steps (0 for the task's own)."""

    task: str
    sizes: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int = 0


class Fitness:
    """The function of a program to its `Score`."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._tasks = {task_name(task): task for task in protocol.tasks}
        self._first = next(iter(self._tasks))

    def _task(self, name: str) -> Task:
        return find([self._tasks[name]])[0]

    def _trainer(self, name: str) -> Trainer:
        return _trainer(self._task(name), self.protocol.memory)

    def __call__(self, program: Programs, reference: AdamWReference, tasks: Leader | Bars | None = None) -> Score:
        """Return the program's score; never raises for what a program does."""
        return self.scores([program], reference, tasks)[0]

    def scores(
        self, programs: Sequence[Programs], reference: AdamWReference, tasks: Leader | Bars | None = None
    ) -> list[Score]:
        """Return the programs' scores; never raises for what a program does.

        Trials are run in groups: each time, those on the task that most programs wait for.

        Args:
            programs: the programs to score.
            reference: AdamW's losses.
            tasks: what programs must keep up with; those that do not are stopped, their fitness estimated.
        """
        scores: dict[int, Score] = {}
        courses = {i: self._course(program, reference, tasks) for i, program in enumerate(programs)}
        waiting: dict[int, Trial] = {}
        losses: dict[int, np.ndarray | None] = dict.fromkeys(courses)
        while losses or waiting:
            for i, found in losses.items():
                try:
                    waiting[i] = courses[i].send(found)  # pyright: ignore[reportArgumentType]
                except StopIteration as end:
                    scores[i] = end.value
            losses = {}
            if waiting:
                kinds = [trial._replace(sizes=()) for trial in waiting.values()]
                kind = max(kinds, key=kinds.count)
                group = [i for i, trial in waiting.items() if trial._replace(sizes=()) == kind]
                losses = dict(zip(group, self._tried(programs, {i: waiting.pop(i) for i in group}), strict=True))
        return [scores[i] for i in courses]

    def _tried(self, programs: Sequence[Programs], trials: dict[int, Trial]) -> np.ndarray:
        """Return the validation losses at trials' step sizes, means over seeds: (trials, sizes)."""
        first = next(iter(trials.values()))
        found = self._trainer(first.task).losses_of(
            [programs[i] for i in trials],
            [trial.sizes for trial in trials.values()],
            first.seeds,
            relative=True,
            steps=first.steps or None,
        )
        return np.nan_to_num(found[..., 0].mean(axis=2), nan=np.inf)

    def _course(
        self, program: Programs, reference: AdamWReference, tasks: Leader | Bars | None
    ) -> Generator[Trial, np.ndarray, Score]:
        """Yield trials, be sent the losses at their step sizes, and return the score."""
        protocol = self.protocol
        try:
            encode(program.simplified())
        except ProgramError as error:
            return Score(math.inf, str(error))
        pilot = yield Trial(self._first, PILOT_SIZES, protocol.seeds[:1], protocol.pilot_steps)
        best = PILOT_SIZES[int(np.argmin(pilot))]
        relative = float(pilot.min()) / reference.pilot
        if not math.isfinite(relative):
            return Score(math.inf, "diverges in the pilot at every step size")
        if relative > protocol.hopeless_pilot:
            return Score(relative, f"hopeless after the pilot: {relative:.3f}")
        climb = self._climb if isinstance(tasks, Bars) else self._race
        return (yield from climb(best, reference, tasks))  # pyright: ignore[reportArgumentType]

    def _race(
        self, best: float, reference: AdamWReference, leader: Leader | None
    ) -> Generator[Trial, np.ndarray, Score]:
        """Go on with a program, of that best step size in the pilot, until it falls behind the leader."""
        first = leader.first if leader else ()
        tasks = (*first, *(name for name in self._tasks if name not in first))
        losses: dict[str, float] = {}
        for name in tasks:
            losses[name] = yield from self._loss(name, best, reference)
            if not math.isfinite(losses[name]):
                return Score(math.inf, f"diverges on {name} at every step size", losses)
            if leader and len(first) <= len(losses) < len(tasks):
                fitness = leader.estimate(losses, reference)
                if fitness >= leader.fitness * leader.slack:
                    return Score(fitness, f"behind the best after {name}: {fitness:.3f}", losses)
        return Score(reference.fitness(losses), "", losses)

    def _climb(self, best: float, reference: AdamWReference, bars: Bars) -> Generator[Trial, np.ndarray, Score]:
        """Go on with a program, of that best step size in the pilot, from rung to rung while it is among the best."""
        short: dict[str, float] = {}
        losses: dict[str, float] = {}
        levels: list[float] = []
        last = len(bars.rungs) - 1
        for number, rung in enumerate(bars.rungs):
            found = yield from self._loss(rung.task, best, reference, rung)
            if not found > 0 or not math.isfinite(found):
                return Score(math.inf, f"diverges on {rung.task} at every step size", losses, tuple(levels))
            (short if rung.short else losses)[rung.task] = found
            levels.append(rung_level(short, losses, reference))
            if number < last and levels[-1] > bars.bars[number]:
                fitness = bars.estimate(number, levels[-1])
                where = f"rung {number + 1} of {last + 1}, {rung.task}"
                return Score(fitness, f"not among the best on {where}: {fitness:.3f}", losses, tuple(levels))
        return Score(reference.fitness(losses), "", losses, tuple(levels))

    def _loss(
        self, name: str, best: float, reference: AdamWReference, rung: Rung | None = None
    ) -> Generator[Trial, np.ndarray, float]:
        """Return the loss on a task relative to AdamW's, in the trainings of a rung or in whole ones."""
        sizes = tuple(best * reference.sizes[name] * factor for factor in self.protocol.factors)
        seeds, short = (rung.seeds, rung.short) if rung else (self.protocol.seeds, False)
        tried = yield Trial(name, sizes, seeds, self._short(name) if short else 0)
        return float(tried.min()) / (reference.short if short else reference.tasks)[name]

    def _short(self, name: str) -> int:
        return max(1, self._task(name).steps // SHORT_PART)

    def measure_pilot(self, program: Programs) -> Measured:
        """Return a program's loss in the pilot and the best step size there; infinite if it diverges."""
        trial = Trial(self._first, PILOT_SIZES, self.protocol.seeds[:1], self.protocol.pilot_steps)
        losses = self._tried([program], {0: trial})[0]
        return Measured(float(losses.min()), PILOT_SIZES[int(np.argmin(losses))])

    def learning_rate(self, program: Programs, name: str) -> float | None:
        """Return the one of `RATES` with the smallest validation loss on a task; None if all diverge."""
        seeds = self.protocol.seeds[:1]
        losses = self._trainer(name).losses_of([program], [RATES], seeds, relative=False)[0, :, 0, 0]
        return RATES[int(np.nanargmin(losses))] if np.isfinite(losses).any() else None

    def measure_adamw(self, name: str, setting: dict[str, float] | None = None) -> tuple[Measured | None, Measured]:
        """Return AdamW under this protocol: in the pilot, if this is the pilot's task, and on the task.

        Args:
            name: the task's.
            setting: AdamW's `learning_rate` and hyperparameters there; by default those that rulesmith ships, or ones
                tuned now where there are none.
        """
        rule = rule_file.find_optimizer("adamw")
        setting = setting or baseline(rule.name, self._task(name))
        if setting is None:
            trainer = self._trainer(name)
            setting = tune(rule, ranges_of(rule), self._task(name), trials=24, seeds=3, trainer=trainer).setting
        adamw = Programs.of(rule.program).with_hyperparameters(
            {n: x for n, x in setting.items() if n != "learning_rate"}
        )
        # Its update has a root mean square of about 1, less where gradients disagree.
        sizes = tuple(setting["learning_rate"] * 2.0 ** (i / 2) for i in range(-5, 4))
        losses = self._tried([adamw], {0: Trial(name, sizes, self.protocol.seeds)})[0]
        size = sizes[int(np.argmin(losses))]
        seeds = self.protocol.seeds if vmapped(self._task(name)) else self.protocol.seeds[:1]
        short = self._tried([adamw], {0: Trial(name, sizes, seeds, self._short(name))})[0]
        single = self._trainer(name).losses_of([adamw], [[size]], range(NOISE_SEEDS), relative=True)[0, 0, :, 0]
        pilot = self.measure_pilot(adamw) if name == self._first else None
        check_yardstick(self._task(name), [losses.min(), *single], "at its best learning rate")
        noise = float(np.std(np.log(single), ddof=1))
        return pilot, Measured(float(losses.min()), size, noise, float(short.min()))


def reference_of(measured: dict[str, tuple[Measured | None, Measured]], start: float = 0.0) -> AdamWReference:
    """Return the reference from what `measure_adamw` found on each task, the pilot's first.

    What is hopeless in the pilot is decided by the worse of AdamW and the start program, whose loss there is `start`.
    """
    pilot = next(iter(measured.values()))[0]
    assert pilot is not None
    precisions = {name: 1 / max(found.noise, LEAST_NOISE) for name, (_, found) in measured.items()}
    total = sum(precisions.values())
    return AdamWReference(
        max(pilot.loss, start if math.isfinite(start) else 0.0),
        {name: found.loss for name, (_, found) in measured.items()},
        {name: found.size / pilot.size for name, (_, found) in measured.items()},
        {name: precision / total for name, precision in precisions.items()},
        {name: found.short for name, (_, found) in measured.items()},
        {name: found.noise for name, (_, found) in measured.items()},
    )


def rung_level(short: Mapping[str, float], losses: Mapping[str, float], reference: AdamWReference) -> float:
    """Return the weighted mean of the logarithms of relative losses, of short trainings where there is no whole one."""
    rows = [(reference.weights[name], loss) for name, loss in losses.items()]
    rows += [(SHORT_WEIGHT * reference.weights[name], loss) for name, loss in short.items() if name not in losses]
    return sum(weight * math.log(loss) for weight, loss in rows) / sum(weight for weight, _ in rows)
