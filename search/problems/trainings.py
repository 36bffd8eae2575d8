"""Programs scored by the networks that they train, in worker processes, beside tuned AdamW."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...envs.marks import hash_of
from ...envs.tasks import SETS, Task, find_checked, task_name
from ...meta.score import Score
from ...programs import RulesmithError, rule_file
from ...programs.parts import Programs
from ...programs.rule import START
from ..candidates import Candidate
from ..executors import Executor, Groups, Here, Pool, Portable, available_cores, cache_folder
from ..method import Workers
from ..mutation import WordCosts
from ..numerics import jax_flags, under_flags
from ..program_store import ProgramStore

RATES_FACT = "learning rates"
"""The fact that holds them."""
SEARCH_LOSS = "search loss, relative to tuned AdamW's"
"""What a search for optimizers minimizes, as the evidence of its rules says."""


@dataclass(frozen=True)
class TrainingScorer:
    """A scorer of `ProgramProblem`.

    Attributes:
        executor: runs what `evaluator` returns.
        reference: AdamW's losses, an `AdamWReference`.
    """

    executor: Executor
    reference: Any

    def __call__(self, candidates: Sequence[Candidate], tasks: Any) -> list[Score]:
        """Return the candidates' scores; `tasks` says what they must keep up with, a `Leader` or `Bars`, or None."""
        rest = (self.reference, tasks)
        return self.executor.map([("score", c.programs.to_flat_text(), rest) for c in candidates])


def checked_tasks(named: Sequence[str | Task]) -> tuple[str | Task, ...]:
    """Return tasks, sets unfolded into their members' names.

    Raises:
        RulesmithError: there is no such task, none is named, two have one name, or one cannot be searched on.
    """
    found = [member for name in named for member in (SETS.get(name, (name,)) if isinstance(name, str) else (name,))]
    if not found:
        raise RulesmithError("--tasks: name at least one task or set; `rulesmith tasks` lists them")
    find_checked(found, axes=True)
    names = [task_name(task) for task in found]
    if len(set(names)) < len(names):
        raise RulesmithError(f"--tasks: {max(names, key=names.count)} is named twice")
    return tuple(found)


def executor_for(build: Callable[[], Any], grouped: Callable[[], Any], memory: float, resources: Workers) -> Executor:
    """Return the executor that runs an evaluator's jobs on the given resources.

    Args:
        build: makes the evaluator of one job.
        grouped: makes the evaluator of many jobs, which are trained at once, vmapped.
        memory: GiB for that; 0 takes half of an accelerator's, and on CPUs one job after another, which is faster.
        resources: where to run.
    """
    import jax

    if not resources.ray and jax.default_backend() != "cpu":
        return Groups(Here(grouped))
    together = memory > 0 or (resources.ray and resources.gpus > 0)
    made = Portable(functools.partial(under_flags, jax_flags(), grouped if together else build))
    if resources.ray:
        from ..ray_executor import RayPool

        executor = RayPool(made, resources.address, resources.cores, resources.gpus)
    else:
        executor = Pool(made, resources.workers or available_cores())
    return Groups(executor) if together else executor


def word_costs(task: Task) -> WordCosts:
    """Return what each word costs on a task's weights, in times of the gradient; see `meta.step_costs`.

    A machine measures it once and keeps it in the user's cache, so that all runs there have the same limits.
    """
    import jax

    from ...meta.step_costs import measured_costs

    device = jax.devices()[0]
    mark = hash_of("costs", task.mark(), jax.__version__, device.device_kind, available_cores())
    place = cache_folder("costs")
    if place is None:
        return measured_costs(task)
    try:
        return json.loads((place / f"{mark}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = measured_costs(task)
        with contextlib.suppress(RulesmithError):  # a disk that has become full
            rule_file.write_text(place / f"{mark}.json", json.dumps(found))
        return found


def group_evaluator(protocol: Any) -> Callable[[Sequence[tuple[str, Any, Any]]], list[Any]]:
    """Return what a worker does: measure AdamW on tasks, learning rates, a program in the pilot; or score programs.

    Args:
        protocol: how to try programs, a `meta.fitness.Protocol`.
    """
    from ...meta.fitness import Fitness

    fitness = Fitness(protocol)

    def measure(job: tuple[str, Any, Any]) -> Any:
        match job:
            case "adamw", task, _:
                return fitness.measure_adamw(task)
            case "rate", text, task:
                return fitness.learning_rate(Programs.parse(text), task)
            case _, text, _:
                return fitness.measure_pilot(Programs.parse(text)).loss

    def evaluate(jobs: Sequence[tuple[str, Any, Any]]) -> list[Any]:
        if jobs[0][0] != "score":
            return [measure(job) for job in jobs]
        return fitness.scores([Programs.parse(text) for _, text, _ in jobs], *jobs[0][2])

    return evaluate


def evaluator(protocol: Any) -> Callable[[tuple[str, Any, Any]], Any]:
    """Return what a worker does if it takes one job after another; see `group_evaluator`."""
    evaluate = group_evaluator(protocol)
    return lambda job: evaluate([job])[0]


def measure_adamw(executor: Executor, tasks: Sequence[str], start: Programs) -> Any:
    """Return AdamW's losses, an `AdamWReference`, at its shipped setting on each task, or one tuned now.

    Args:
        executor: runs what `evaluator` returns.
        tasks: names, the pilot's first.
        start: the rule that a search starts from; what is hopeless is decided by the worse of it and AdamW.
    """
    from ...meta.fitness import reference_of

    jobs = [("adamw", task, None) for task in tasks]
    *found, pilot = executor.map([*jobs, ("pilot", start.to_text(), None)])
    return reference_of(dict(zip(tasks, found, strict=True)), pilot)


def keep_learning_rates(
    store: ProgramStore, executor: Executor, programs: Programs, tasks: Mapping[str, Any], status: Callable[[str], None]
) -> None:
    """Keep with a run which learning rates suit a rule, unless they are known.

    Args:
        store: of the run.
        executor: runs jobs ("rate", text, what).
        programs: of the rule.
        tasks: what the jobs take of each task, by its name.
        status: is told what is going on.
    """
    text = programs.to_flat_text()
    if (store.fact(RATES_FACT) or {}).get("program") == text:
        return
    status(f"finding the learning rates that suit the best program, on {', '.join(tasks)}")
    rates = executor.map([("rate", text, what) for what in tasks.values()])
    known = {name: rate for name, rate in zip(tasks, rates, strict=True) if rate is not None}
    store.add_fact(RATES_FACT, {"program": text, "rates": known})


def learning_rate_facts(store: ProgramStore, programs: Programs) -> dict[str, Any]:
    """Return the learning rates that suit a rule of a run, as evidence; nothing where they are not known."""
    kept = store.fact(RATES_FACT) or {}
    if not kept.get("rates") or kept["program"] != programs.to_flat_text():
        return {}
    rates = kept["rates"]
    middle = math.exp(sum(map(math.log, rates.values())) / len(rates))
    return {START: float(f"{middle:.2g}"), "learning rates that worked": {name: f"{x:g}" for name, x in rates.items()}}
