"""Refinement of what searches over optimizers found: a funnel of larger tasks, constants, removal of what does nothing.

A search looks at small tasks for long and begins to fit them. So programs from all of its course, not its best alone,
are tried on *selection* tasks, some ten times larger and on other data sets; both fitnesses are kept, so that one sees
whether what the search preferred is what holds elsewhere. Held-out tasks are never looked at.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...envs.tasks import Task, task_name
from ...programs import Program, RulesmithError, rule_file
from ...programs.parts import Programs
from ...programs.quantities import counted
from ...programs.rule import Rule
from ..config_codec import names_of
from ..curricula.fixed import Fixed
from ..method import Method, Parts, Preset, Setup, Workers
from ..options import Runs, Tasks
from ..problems.full_trials import FullTrials, full_evaluator, references_of
from ..problems.trainings import SEARCH_LOSS, checked_tasks, executor_for, keep_learning_rates, learning_rate_facts
from ..program_store import ProgramStore
from ..store import finite
from ..strategies.refining import Refiner, Refining, Removal

LEARNING_RATES = (1e-4, 1.0)


@dataclass(frozen=True)
class Refinement:
    """A refinement of what searches over optimizers found; it decides, with versions and hardware, what is found.

    Attributes:
        runs: Directories of `discover symbolic`; of each, programs from all of its course take part.
        tasks: Tasks to choose on (names, sets, import paths or Task objects); never those of a claim.
        then: Still larger tasks, for the best share.
        finalists: Programs of each run that take part.
        kept: Share of the finalists that goes on to the larger tasks.
        rounds: Rounds of tuning the constants; each halves its steps.
        trials: Settings of the constants in a round.
        seeds: Trainings of each task for each step size.
        batch: Programs that are tried in one step; between steps a refinement is kept.
        name: Name of the refined rule.
        seed: Seed of the constants' draws.
    """

    runs: Runs = ()
    tasks: Tasks = ("selection",)
    then: Tasks = ()
    finalists: int = 16
    kept: float = 0.25
    rounds: int = 4
    trials: int = 12
    seeds: int = 2
    batch: int = 8
    name: str = "refined"
    seed: int = 0

    @property
    def funnel(self) -> tuple[tuple[str | Task, ...], ...]:
        """Tasks of each round."""
        return tuple(checked_tasks(tasks) for tasks in (self.tasks, self.then) if tasks)


PRESETS = {"demo": Preset(Refinement(), None)}


class Finalist(NamedTuple):
    """A program of a search.

    Attributes:
        run: its directory.
        index: its number there; how far the search had come.
        programs: simplified.
        search: its fitness in the search.
        lineage: (number, mutation, fitness) of its ancestors, oldest first.
        rounds: its fitness in each round of the funnel.
    """

    run: str
    index: int
    programs: Programs
    search: float
    lineage: list[Any]
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Refined:
    """What came of a refinement.

    Attributes:
        finalists: of the first round, those that came furthest first, and the best of them first.
        programs: the refined rule, as it is now.
        fitness: on the funnel's last tasks: of the winner, with its constants tuned, after removals, as far as known.
        noise: standard deviation of a fitness over groups of seeds.
        removals: what went, and of the program that was left, what each statement is worth.
        phase: that the refinement is in; "done" at the end.
    """

    finalists: list[Finalist]
    programs: Programs | None
    fitness: tuple[float, ...]
    noise: float
    removals: tuple[Removal, ...]
    phase: str


def finalists_of(store: ProgramStore, count: int) -> list[Finalist]:
    """Return programs of a run: half of them its best, half those that were the best at some time, spread over it.

    Raises:
        RulesmithError: the run has none.
    """
    best, leaders = math.inf, []
    for number, fitness, *_ in store.fitnesses():
        if fitness < best:
            best = fitness
            leaders.append(number)
    archive = [entry.candidate.index for entry in store.archive()]
    if not archive:
        raise RulesmithError(f"{store.directory}: the run has no evaluated program yet")
    chosen = dict.fromkeys(archive[: max(1, count // 2)])
    spread = [leaders[i] for i in np.linspace(len(leaders) - 1, 0, min(count, len(leaders))).round().astype(int)]
    for number in (*spread, *archive):
        if len(chosen) < count:
            chosen[number] = None
    found: dict[str, Finalist] = {}
    for candidate, score in store.candidates(set(chosen)):
        programs = candidate.programs.simplified()
        line = [list(row) for row in store.lineage(candidate.index)]
        row = Finalist(str(store.directory), candidate.index, programs, score.fitness, line)
        found.setdefault(programs.digest, row)
    return list(found.values())


def _check(config: Refinement) -> dict[str, Any]:
    if not config.runs:
        raise RulesmithError("name at least one run's directory")
    if config.kept > 1:
        raise RulesmithError(f"kept is {config.kept:g}; it must be a share, up to 1")
    Rule(config.name, {"all": Program.parse("def update(g, lr):\n    return lr * g\n")})  # raises for a bad name
    if not config.funnel:
        raise RulesmithError("--tasks: name at least one task or set; `rulesmith tasks` lists them")
    rows: list[Finalist] = []
    for directory in config.runs:
        if not Path(directory).is_dir() and str(directory) in rule_file.published():
            raise RulesmithError(f"{directory} is a rule; refine takes the directories of runs")
        with ProgramStore.open(directory) as store:
            if not {"tasks", "strategy"} <= store.fact("config").keys():  # a refinement has tasks, and no strategy
                raise RulesmithError(f"{directory} is not a search for an optimizer, such as `discover symbolic`")
            rows += finalists_of(store, config.finalists)
    return {"finalists": [_plain(row) for row in rows]}


def _plain(row: Finalist) -> list[Any]:
    line = [[number, origin, finite(fitness)] for number, origin, fitness in row.lineage]
    return [row.run, row.index, row.programs.to_flat_text(), finite(row.search), line]


def _finalists(kept: list[Any]) -> list[Finalist]:
    return [
        Finalist(run, index, Programs.parse(text).simplified(), math.inf if search is None else search, line)
        for run, index, text, search, line in kept
    ]


def _parts(config: Refinement, setup: Setup) -> Parts:
    rows, funnel = _finalists(setup.fact("finalists")), config.funnel
    build = functools.partial(full_evaluator, funnel)
    executor = executor_for(build, build, 0.0, setup.resources)
    with ExitStack() as cleanup:
        cleanup.callback(executor.close)
        references = references_of(executor, funnel, config.seeds, setup)
        cleanup.pop_all()
    setup.status(f"{counted(len(rows), 'program')} on {', '.join(map(task_name, funnel[0]))}")
    strategy = Refiner(
        tuple(row.programs for row in rows),
        tuple((row.run, row.index) for row in rows),
        len(funnel),
        config.kept,
        config.rounds,
        config.trials,
        config.seeds,
        config.batch,
        config.seed,
    )
    last = len(funnel) - 1
    jobs = {task_name(task): (last, tuple(range(config.seeds)), task_name(task)) for task in funnel[last]}

    def after(store: ProgramStore, status: Callable[[str], None]) -> None:
        result = refined(store)
        if result.phase == "done" and result.programs:
            keep_learning_rates(store, executor, result.programs, jobs, status)

    return Parts(
        *(strategy, Fixed(None), FullTrials(executor, references)),
        finished=lambda states: states.strategy.phase == "done",
        after=after,
        close=executor.close,
    )


def refined(store: ProgramStore) -> Refined:
    """Return what a run has found so far.

    Raises:
        RulesmithError: it has tried nothing yet.
    """
    found = store.states()
    if found is None:
        raise RulesmithError(f"{store.directory}: the refinement has tried no program yet")
    state: Refining = found[1].strategy
    rows = [
        row._replace(rounds=tried) for row, tried in zip(_finalists(store.fact("finalists")), state.rounds, strict=True)
    ]
    rows.sort(key=lambda row: (-len(row.rounds), row.rounds[-1:], row.run, row.index))
    return Refined(rows, state.programs, state.fitness, state.noise, state.removals, state.phase)


def _rule(store: ProgramStore) -> Rule:
    config, result = store.fact("config"), refined(store)
    if result.programs is None:
        if result.phase == "done":
            runs = ", ".join(config["runs"])
            raise RulesmithError(f"no program of {runs} trains all networks of the funnel")
        raise RulesmithError(f"{store.directory}: the refinement has chosen no program yet; add --resume to go on")
    winner, names = result.finalists[0], ("", "_with_its_constants_tuned", "_after_removals")
    evidence: dict[str, Any] = learning_rate_facts(store, result.programs)
    evidence |= {SEARCH_LOSS: winner.search}
    evidence |= {f"selection_fitness{name}": x for name, x in zip(names, result.fitness, strict=False)}
    evidence |= {
        "noise_of_a_fitness": result.noise,
        "removed": [row.statement for row in result.removals if row.gone],
        "selection_fitness_without": {row.statement: row.fitness for row in result.removals if not row.gone},
    }
    best, steps = math.inf, []
    for number, origin, fitness in winner.lineage:
        if fitness is not None and fitness < best:
            best = fitness
            steps.append(f"{number:,} {origin} {fitness:.4f}")
    evidence["lineage"] = steps  # where it got better
    same = sorted((row for row in result.finalists if row.run == winner.run), key=lambda row: row.index)
    evidence["finalists_of_its_run"] = [
        f"{row.index:,}: search {row.search:.4f}, selection {row.rounds[0]:.4f}" for row in same
    ]
    provenance = {"origin": "rulesmith", "method": "symbolic, refined", "run": winner.run, "candidate": winner.index}
    known = {key: value for key, value in evidence.items() if value or value == 0.0}
    evidence = {key: value for key, value in known.items() if value == value}  # no NaN, which is not known yet
    programs, about = dict(result.programs.with_weight_decay().parts), "found by symbolic search, refined"
    return Rule(config["name"], programs, about, LEARNING_RATES, {}, provenance, evidence)


def keep_selection(store: ProgramStore, status: Callable[[str], None]) -> None:
    """Keep with each source run what its programs are worth on selection tasks, so that its reports tell of it."""
    result, tasks = refined(store), names_of(store.fact("config")["tasks"])
    for directory in dict.fromkeys(row.run for row in result.finalists):
        rows = sorted((row for row in result.finalists if row.run == directory), key=lambda row: row.index)
        kept = [[row.index, finite(row.search), finite(row.rounds[0])] for row in rows]
        try:
            with ProgramStore.open(Path(directory), write=True) as source:
                source.add_fact("selection", {"tasks": list(map(task_name, checked_tasks(tasks))), "finalists": kept})
        except RulesmithError as error:
            status(f"not kept with the run: {error}")


METHOD = Method(
    "refinement",
    Refinement,
    PRESETS,
    ProgramStore,
    "steps",
    _check,
    _parts,
    _rule,
    view="refinement",
    resources=Workers,
    conclude=keep_selection,
)
"""The method."""

__all__ = ["METHOD", "Refinement", "finalists_of", "refined"]
