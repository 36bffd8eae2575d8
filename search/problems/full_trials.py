"""The problem of refinement: programs tried in full, each on the tasks of its round, with its own seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...envs.tasks import Task, task_name
from ...programs.parts import Programs
from ..candidates import Feedback
from ..engine import Evaluation
from ..executors import Executor
from ..method import Setup
from ..strategies.refining import RefinementTrial

FACTORS = tuple(2.0**i for i in range(-3, 3))
"""Step sizes tried on each task, relative to the one expected there; a search tries fewer."""


@dataclass(frozen=True)
class FullTrials:
    """A problem of the engine without a state.

    Attributes:
        executor: runs what `full_evaluator` returns.
        references: AdamW's losses on the tasks of each round, `AdamWReference`s.
    """

    executor: Executor
    references: tuple[Any, ...]

    def init(self, key: Any) -> tuple[()]:
        """Return the state: none."""
        return ()

    def evaluate(
        self, state: tuple[()], candidates: Sequence[RefinementTrial], tasks: Any, key: Any
    ) -> Evaluation[tuple[()], list[Feedback], None]:
        """Return each trial's score."""
        jobs = [("full", t.programs.to_flat_text(), (t.round, t.seeds, self.references[t.round])) for t in candidates]
        scores = self.executor.map(jobs)
        return Evaluation((), [Feedback(score, "evaluated") for score in scores], None, {})


def full_evaluator(funnel: tuple[tuple[str | Task, ...], ...]) -> Callable[[tuple[str, Any, Any]], Any]:
    """Return what a worker does: measure AdamW on a task, a learning rate, or score a program on a round's tasks.

    Args:
        funnel: tasks of each round.
    """
    from ...meta.fitness import Fitness, Protocol

    made: dict[Any, Fitness] = {}

    def fitness(number: int, seeds: tuple[int, ...]) -> Fitness:
        if (number, seeds) not in made:
            made[number, seeds] = Fitness(Protocol(funnel[number], seeds, FACTORS, hopeless_pilot=math.inf))
        return made[number, seeds]

    def evaluate(job: tuple[str, Any, Any]) -> Any:
        match job:
            case "adamw", task, (number, seeds, _):
                return fitness(number, seeds).measure_adamw(task)
            case "rate", text, (number, seeds, task):
                return fitness(number, seeds).learning_rate(Programs.parse(text), task)
            case _, text, (number, seeds, reference):
                return fitness(number, seeds)(Programs.parse(text), reference)

    return evaluate


def references_of(
    executor: Executor, funnel: tuple[tuple[str | Task, ...], ...], seeds: int, setup: Setup
) -> tuple[Any, ...]:
    """Return AdamW's losses on each round's tasks, kept with the run or measured now.

    AdamW is at its shipped settings, or at ones tuned now where there are none.
    """
    from ...meta.fitness import AdamWReference, reference_of

    kept = list(setup.fact("reference") or [])
    for number in range(len(kept), len(funnel)):
        names = [task_name(task) for task in funnel[number]]
        found: dict[str, Any] = {}
        for begin in range(0, len(names), executor.workers):
            part = names[begin : begin + executor.workers]
            setup.status(f"measuring tuned AdamW on {', '.join(part)} ({begin} of {len(names)} tasks done)")
            jobs = [("adamw", name, (number, tuple(range(seeds)), None)) for name in part]
            found |= dict(zip(part, executor.map(jobs), strict=True))
        kept.append(asdict(reference_of(found)))
        setup.keep("reference", kept)
    return tuple(AdamWReference(**each) for each in kept)
