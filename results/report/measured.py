"""What a report shows that takes training: computed when it is asked for, and kept in the run's directory.

- a comparison with the yardsticks on what the search looked at: curves, tuning basins, ratio against size (no proof);
- of a program, what each statement is worth: its fitness without the statement, under the search's own protocol;
- of a network that knows how much time is left, what freezing its clock costs.

All of it shows how far it is. What is known is not computed again, so that work that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...envs.tasks import find, task_name
from ...programs import RulesmithError, rule_file
from ...programs.objective import Objective
from ...programs.rule import Rule
from ...search.method import Workers
from ...search.program_store import ProgramStore
from ...search.runs import open_store
from ...search.strategies.refining import shorter
from ..comparison import compare
from ..comparison_progress import reporting
from ..standing import rule_mark
from ..views import comparison_of, programs, tasks_of, view_of
from .document import Section
from .networks import clock_parts
from .programs import STATEMENTS, statements_parts

MEASURES = "measures.json"
"""The file in a run's directory that keeps what was computed for its report."""
YARDSTICKS_SHOWN = ("lion", "muon")
"""Optimizers whose tuning is shown beside AdamW's and the found rule's."""
_TRIALS, _SEEDS = 16, 3
"""Settings and seeds of the comparison on the search's own tasks."""
_AGENT_TRIALS, _AGENT_SEEDS = 4, 5
"""The same for agents, which take longer."""
_CLOCK_SEEDS = 32
"""Agents with each clock."""


@dataclass(frozen=True)
class _Job:
    """A piece of work, as its progress is shown."""

    label: str
    cost: float = 1.0


def known_measures(directory: Path, mark: str) -> dict[str, Any]:
    """Return what was computed for the report of a run's rule; nothing where the run has another rule by now."""
    try:
        kept = json.loads((directory / MEASURES).read_text(encoding="utf-8"))
        return kept if kept["mark"] == mark else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def measured_sections(known: Mapping[str, Any]) -> list[Section]:
    """Return what a report shows of that."""
    sections = []
    if found := known.get("statements"):
        rows = [(name, math.inf if worth is None else worth, False) for name, worth in found["worth"].items()]
        sections.append(Section("Statements", statements_parts(rows, found["whole"], found["noise"]), STATEMENTS))
    if found := known.get("clock"):
        text = (
            "What agents lose if the rule's clock stands still. Where that is nothing, the rule does not use the time."
        )
        sections.append(Section("Clock", clock_parts(found), text))
    return sections


def measure(directory: Path) -> None:
    """Compute what is not known yet of a run for its report, and keep it.

    Raises:
        RulesmithError: there is no run, it has found nothing yet, or its tasks are objects of a script's own.
    """
    method, store = open_store(directory)
    with store:
        rule = method.rule(store)
        mark, config = rule_mark(rule), store.fact("config")
        known = {"mark": mark, **known_measures(directory, mark)}
        compared = comparison_of(method, store) is not None
        if any(isinstance(each, dict) for key in ("tasks", "environments") for each in config.get(key) or ()):
            raise RulesmithError(
                f"{directory}: its tasks are objects of a script; compare its rule there, and give the file"
            )
        if view_of(method) is programs.VIEW and programs.finds_optimizers(config) and "statements" not in known:
            _keep(directory, known, "statements", _statements(store))
        if isinstance(rule, Objective) and rule.arrays and rule.timed and "clock" not in known:
            _keep(directory, known, "clock", _clock(store, rule))
    if not compared:
        _compare(directory, config, optimizer=isinstance(rule, Rule))


def _keep(directory: Path, known: dict[str, Any], name: str, value: Any) -> None:
    known[name] = value
    rule_file.write_text(directory / MEASURES, json.dumps(known, indent=1) + "\n")


def _compare(directory: Path, config: Mapping[str, Any], *, optimizer: bool) -> None:
    """Compare a run's rule on what the search looked at; `compare` keeps what it finds with the run."""
    tasks = tasks_of(config)
    if optimizer:
        compare([str(directory), *YARDSTICKS_SHOWN], tasks=list(tasks), trials=_TRIALS, seeds=_SEEDS)
    elif "levels" in config:
        names = [name if name.endswith(".toml") or ":" in name else f"grid/{name}" for name in tasks]
        compare([str(directory)], env=names, trials=_AGENT_TRIALS, seeds=_AGENT_SEEDS)
    elif tasks:
        horizon = float(max(config["horizon"]))
        compare([str(directory)], env=list(tasks), horizon=[horizon], trials=_AGENT_TRIALS, seeds=_AGENT_SEEDS)


def _statements(store: ProgramStore) -> dict[str, Any]:
    """Return what each statement of a run's best program is worth, under the search's protocol."""
    from ...meta.fitness import AdamWReference, Protocol
    from ...search.problems.trainings import checked_tasks, evaluator, executor_for, group_evaluator

    config, reference = store.fact("config"), AdamWReference(**store.fact("reference"))
    protocol = Protocol(checked_tasks(config["tasks"]), tuple(range(config["seeds"])), hopeless_pilot=math.inf)
    best = store.best()
    options = list(shorter(best.programs))
    one, together = (functools.partial(build, protocol) for build in (evaluator, group_evaluator))
    executor = executor_for(one, together, 0.0, Workers())
    jobs: dict[str, _Job] = {}
    for i, (statement, without) in enumerate(options, 1):
        jobs.setdefault(without.to_flat_text(), _Job(f"{i}: without {statement}"))
    items = [("score", text, (reference, None)) for text in jobs]
    first = f"what each statement is worth: {len(items)} shorter programs to train"
    found: dict[str, float] = {}
    with contextlib.closing(executor), reporting([*jobs.values()], executor.workers, None, first) as finished:
        for begin in range(0, len(items), 4 * executor.workers):
            part = items[begin : begin + 4 * executor.workers]
            for item, score in zip(part, executor.map(part), strict=True):
                found[item[1]] = score.fitness
                finished(jobs[item[1]], f"{jobs[item[1]].label}: {_fitness_words(score.fitness)}")
    worth: dict[str, float] = {}
    for statement, without in options:
        worth[statement] = min(worth.get(statement, math.inf), found[without.to_flat_text()])
    spread = sum((reference.weights[name] * noise) ** 2 for name, noise in reference.noise.items())
    return {
        "whole": best.fitness,
        "noise": best.fitness * math.sqrt(spread / config["seeds"]),
        "worth": {name: value if math.isfinite(value) else None for name, value in worth.items()},
        "tasks": [task_name(task) for task in find(config["tasks"])],
    }


def _fitness_words(fitness: float) -> str:
    return f"{fitness:.4f}" if math.isfinite(fitness) else "diverges"


def _clock(store: Any, rule: Objective) -> list[dict[str, Any]]:
    """Return what freezing a rule's clock costs, in the shortest and the longest lifetimes of its search."""
    import numpy as np

    from ...envs.registry import make
    from ...meta.frozen_clock import MOMENTS_FROZEN, frozen, frozen_returns
    from ...meta.learners import learner_for, updates_for
    from ...meta.population import Population, use_cores
    from ...search.executors import available_cores, cache_compilations
    from ...search.numerics import computing

    with contextlib.suppress(RuntimeError):  # JAX has begun, so its devices stay as they are
        use_cores(available_cores())
    cache_compilations()
    config = store.fact("config")
    name = f"grid/{config['levels']}" if "levels" in config else tasks_of(config)[0]
    learner = learner_for(make(name), rule, dict(rule.agent))
    ends = config["updates"] if "updates" in config else [updates_for(steps, learner) for steps in config["horizon"]]
    reference = (store.fact("reference") or {}).get(name) or {}
    jobs = [_Job(f"lifetimes of {length} updates in {name}", float(length)) for length in dict.fromkeys(map(int, ends))]
    every = [rule, *(frozen(rule, moment) for moment in MOMENTS_FROZEN)]
    rows = []
    with (
        computing(),
        reporting(jobs, 1, None, "what freezing the clock costs; the first lifetimes are compiled") as done,
    ):
        population = Population(learner, 16)
        for job in jobs:
            rate, entropy = reference.get("learning_rate"), config.get("entropy", 0.0)
            lived = frozen_returns(every, population, int(job.cost), _CLOCK_SEEDS, rate, entropy)
            own, *others = np.nan_to_num(lived)
            for moment, other in zip(MOMENTS_FROZEN, others, strict=True):
                lost = own - other
                error = float(lost.std(ddof=1)) / math.sqrt(len(lost))
                row = {"updates": int(job.cost), "moment": moment, "own": float(own.mean())}
                rows.append({**row, "lost": float(lost.mean()), "error": error})
            done(job, f"{job.label}: return {own.mean():.3f} with its clock")
    return rows
