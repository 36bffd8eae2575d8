"""From many good programs of a search to one: a funnel of larger tasks, constants, removal of what does nothing.

A search looks at small tasks for long and begins to fit them. So programs from all of its course, not its best alone,
are tried on *selection* tasks, some ten times larger and on other data sets; both fitnesses are kept, so that one sees
whether what the search preferred is what holds elsewhere. The winner's constants are then tuned, and statements go
whose removal costs nothing within noise (Chen et al. 2023, section 2.3). Held-out tasks are never looked at.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...meta.score import Score
from ...programs import Program, ProgramError, RulesmithError, Statement
from ...programs.program import Operand
from ...programs.rule import Rule
from ..executors import Executor
from ..mutation import Limits, checked, rounded
from ..program_store import ProgramStore
from ..store import finite
from .symbolic import WARM_START, checked_tasks

if TYPE_CHECKING:
    from ...meta.fitness import AdamWReference

LEARNING_RATES = (1e-4, 1.0)
FACTORS = tuple(2.0**i for i in range(-3, 3))
"""Step sizes tried on each task, relative to those that AdamW wants there: more of them than in a search."""
_NOISE_GROUPS = 3
"""Groups of other seeds by which the noise of a fitness is measured."""


@dataclass(frozen=True)
class RefinementConfig:
    """How programs are refined.

    Attributes:
        funnel: tasks (names or sets) of each round, larger ones later; the last rounds see fewer programs.
        finalists: programs of each run in the first round.
        kept: share of them that goes on from a round to the next.
        rounds: of the tuning of constants; each halves its steps.
        trials: settings of the constants tried in a round.
        seeds: trainings of each task for each step size.
        seed: of the constants' draws.
    """

    funnel: tuple[tuple[str, ...], ...] = (("selection",),)
    finalists: int = 16
    kept: float = 0.25
    rounds: int = 4
    trials: int = 12
    seeds: int = 2
    seed: int = 0


class Finalist(NamedTuple):
    """A program of a search.

    Attributes:
        run: its directory.
        index: its number there; how far the search had come.
        program: simplified.
        search: its fitness in the search.
        rounds: its fitness in each round of the funnel.
    """

    run: str
    index: int
    program: Program
    search: float
    rounds: tuple[float, ...] = ()


class Removal(NamedTuple):
    """A statement, and the fitness without it; `gone` if it went."""

    statement: str
    fitness: float
    gone: bool


@dataclass(frozen=True)
class Refined:
    """What came of a refinement.

    Attributes:
        finalists: of the first round, those that came furthest first, and the best of them first.
        lineage: (number, mutation, fitness) of the winner's ancestors, oldest first.
        program: the refined program.
        fitness: on the funnel's last tasks: of the winner, with its constants tuned, after removals.
        noise: standard deviation of a fitness over groups of seeds.
        removals: what went, and of the program that was left, what each statement is worth.
    """

    finalists: list[Finalist]
    lineage: list[tuple[int, str, float]]
    program: Program
    fitness: tuple[float, float, float]
    noise: float
    removals: list[Removal]


def finalists_of(store: ProgramStore, count: int) -> list[Finalist]:
    """Return programs of a run: half of them its best, half those that were the best at some time, spread over it.

    Raises:
        RulesmithError: the run has none.
    """
    best, leaders = math.inf, []
    for number, (_, score, _) in enumerate(store.candidates(set())):
        if score.complete and score.fitness < best:
            best = score.fitness
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
    for candidate, score, _ in store.candidates(set(chosen)):
        if candidate is not None and candidate.index in chosen:
            program = candidate.program.simplified()
            row = Finalist(str(store.directory), candidate.index, program, score.fitness)
            found.setdefault(program.digest, row)
    return list(found.values())


@dataclass(frozen=True)
class Judge:
    """Scores programs on tasks, each in full, by workers.

    Attributes:
        executor: of a `refinement_evaluator`.
        tasks: names.
        seeds: trainings of each task for each step size.
        reference: tuned AdamW's losses.
    """

    executor: Executor
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    reference: AdamWReference

    def __call__(self, programs: Sequence[Program], seeds: tuple[int, ...] | None = None) -> list[float]:
        """Return programs' fitnesses."""
        rest = (self.tasks, self.seeds if seeds is None else seeds, self.reference)
        scores: list[Score] = self.executor.map([("full", program.to_flat_text(), rest) for program in programs])
        return [score.fitness for score in scores]


def judge_on(executor: Executor, tasks: Sequence[str], seeds: int) -> Judge:
    """Return the judge on some tasks, at AdamW's shipped settings there, or ones tuned now where there are none."""
    from ...meta.fitness import reference_of
    from ...meta.tuning import baseline

    names, all_seeds = checked_tasks(tasks), tuple(range(seeds))
    found = executor.map([("adamw", name, (names, all_seeds, baseline("adamw", name))) for name in names])
    return Judge(executor, names, all_seeds, reference_of(dict(zip(names, found, strict=True))))


def refine(
    runs: Sequence[Path],
    config: RefinementConfig,
    executor: Executor,
    status: Callable[[str], None] = lambda _: None,
) -> Refined:
    """Return the best program of some runs, refined.

    Args:
        runs: directories of symbolic searches over optimizers.
        config: how.
        executor: of a `refinement_evaluator`.
        status: told what is going on.

    Raises:
        RulesmithError: a directory is no such run, or has found nothing.
    """
    for tasks in config.funnel:
        checked_tasks(tasks)  # at once, before anything is measured
    rows: list[Finalist] = []
    for directory in runs:
        with ProgramStore.open(directory) as store:
            store.require("symbolic")
            rows += finalists_of(store, config.finalists)
    rows, judge = _funnel(rows, config, executor, status)
    winner = rows[0]
    if not math.isfinite(winner.rounds[-1]):
        raise RulesmithError(
            f"no program of {', '.join(map(str, runs))} trains all networks of {', '.join(judge.tasks)}"
        )
    status(f"the best, candidate {winner.index} of {winner.run}: {winner.rounds[-1]:.4f} of tuned AdamW's loss")
    program, tuned = _with_tuned_constants(winner.program, winner.rounds[-1], config, judge, status)
    program, last, noise, removals = _without_what_does_nothing(program, tuned, judge, status)
    with ProgramStore.open(Path(winner.run)) as store:
        lineage = store.lineage(winner.index)
    return Refined(rows, lineage, program, (winner.rounds[-1], tuned, last), noise, removals)


def keep_selection(result: Refined, config: RefinementConfig, status: Callable[[str], None] = lambda _: None) -> None:
    """Keep with each run what its programs are worth on selection tasks, so that `show` and `report` tell of it."""
    for directory in dict.fromkeys(row.run for row in result.finalists):
        rows = sorted((row for row in result.finalists if row.run == directory), key=lambda row: row.index)
        kept = [[row.index, finite(row.search), finite(row.rounds[0])] for row in rows]
        try:
            with ProgramStore.open(Path(directory), write=True) as store:
                store.add_fact("selection", {"tasks": checked_tasks(config.funnel[0]), "finalists": kept})
        except RulesmithError as error:
            status(f"not kept with the run: {error}")


def _funnel(
    rows: list[Finalist], config: RefinementConfig, executor: Executor, status: Callable[[str], None]
) -> tuple[list[Finalist], Judge]:
    """Return the finalists, those that came furthest first and the best of them first, and the last round's judge."""
    over: list[Finalist] = []
    judges = [judge_on(executor, tasks, config.seeds) for tasks in config.funnel]
    for number, judge in enumerate(judges, 1):
        status(f"round {number} of the funnel: {len(rows)} programs on {', '.join(judge.tasks)}")
        found = judge([row.program for row in rows])
        rows = [row._replace(rounds=(*row.rounds, fitness)) for row, fitness in zip(rows, found, strict=True)]
        rows.sort(key=lambda row: (row.rounds[-1], row.run, row.index))
        if number < len(judges):
            count = max(1, math.ceil(len(rows) * config.kept))
            rows, over = rows[:count], [*rows[count:], *over]
    return [*rows, *over], judges[-1]


def _with_tuned_constants(
    program: Program, fitness: float, config: RefinementConfig, judge: Judge, status: Callable[[str], None]
) -> tuple[Program, float]:
    """Return the program with its literals moved, by rounds of random moves that get smaller; the best is kept."""
    for number in range(config.rounds):
        draws = [random.Random(f"{config.seed} {number} {i}") for i in range(config.trials)]
        moved = [_moved(program, 0.8 * 0.5**number, rng) for rng in draws]
        found = judge(moved)
        best = int(np.argmin(found))
        if found[best] < fitness:
            program, fitness = moved[best], found[best]
        status(f"constants, round {number + 1} of {config.rounds}: {fitness:.4f}")
    return program, fitness


def _moved(program: Program, size: float, rng: random.Random) -> Program:
    """Return the program with every literal multiplied by 2 ** N(0, size); of those in (0.5, 1), 1 minus them."""

    def move(operand: Operand) -> Operand:
        if not isinstance(operand, float) or operand == 0.0:
            return operand
        factor = 2.0 ** rng.gauss(0, size)
        return rounded(1.0 - (1.0 - operand) * factor) if 0.5 < operand < 1.0 else rounded(operand * factor)

    statements = tuple(s._replace(operands=tuple(map(move, s.operands))) for s in program.statements)
    return replace(program, statements=statements, returns=tuple(map(move, program.returns)))


def shorter(program: Program) -> Iterator[tuple[Statement, Program]]:
    """Yield each statement with the valid, shorter programs in which one of its operands stands for its result."""
    limits = Limits(statements=10_000, cost=10_000)
    for i, statement in enumerate(program.statements):
        for operand in statement.operands:
            passed = statement._replace(function="add", operands=(operand, 0.0))
            statements = (*program.statements[:i], passed, *program.statements[i + 1 :])
            try:
                found = replace(program, statements=statements).simplified()
                checked(found, limits)
            except ProgramError:
                continue
            if len(found.statements) < len(program.statements):
                yield statement, found


def _without_what_does_nothing(
    program: Program, fitness: float, judge: Judge, status: Callable[[str], None]
) -> tuple[Program, float, float, list[Removal]]:
    """Remove the statement that costs least, again and again, as long as that costs nothing within noise.

    The cost is that against the program at the start, the mean logarithm of the fitnesses' ratio over groups of seeds;
    it is nothing if it is below its standard error. Returns the program, its fitness, the noise, and what was tried.
    """
    others = [tuple(100 * (i + 1) + seed for seed in judge.seeds) for i in range(_NOISE_GROUPS)]
    start = np.array([fitness, *(judge([program], group)[0] for group in others)])
    noise = float(np.std(start, ddof=1))
    status(f"a fitness varies by {noise:.4f} (standard deviation) with the seeds")
    gone: list[Removal] = []
    while True:
        options = list(shorter(program))
        found = judge([option for _, option in options])
        order = sorted(range(len(options)), key=lambda i: (found[i], i))
        if not order or not math.isfinite(found[order[0]]):
            break
        statement, option = options[order[0]]
        costs = np.log([found[order[0]], *(judge([option], group)[0] for group in others)]) - np.log(start)
        if not costs.mean() <= costs.std(ddof=1) / math.sqrt(len(costs)):
            break
        program, fitness = option, found[order[0]]
        gone.append(Removal(_words(statement), fitness, True))
        status(f"without {_words(statement)}: {fitness:.4f}")
    least: dict[str, float] = {}
    for i in order:
        least.setdefault(_words(options[i][0]), found[i])
    return program, fitness, noise, [*gone, *(Removal(name, value, False) for name, value in least.items())]


def _words(statement: Statement) -> str:
    return f"{statement.target} = {statement.function}({', '.join(map(str, statement.operands))})"


def refined_rule(result: Refined, name: str) -> Rule:
    """Return a refinement's program as a rule, with where it comes from and what was measured."""
    winner = result.finalists[0]
    first, tuned, last = result.fitness
    evidence = {
        "search_fitness": winner.search,
        "selection_fitness": first,
        "selection_fitness_with_its_constants_tuned": tuned,
        "selection_fitness_after_removals": last,
        "noise_of_a_fitness": result.noise,
        "removed": [row.statement for row in result.removals if row.gone],
        "selection_fitness_without": {row.statement: row.fitness for row in result.removals if not row.gone},
    }
    best, steps = math.inf, []
    for number, origin, fitness in result.lineage:
        if fitness < best:
            best = fitness
            steps.append(f"{number:,} {origin} {fitness:.4f}")
    evidence["lineage"] = steps  # where it got better
    same = sorted((row for row in result.finalists if row.run == winner.run), key=lambda row: row.index)
    evidence["finalists_of_its_run"] = [
        f"{row.index:,}: search {row.search:.4f}, selection {row.rounds[0]:.4f}" for row in same
    ]
    provenance = {"origin": "rulesmith", "method": "symbolic, refined", "run": winner.run, "candidate": winner.index}
    evidence = {key: value for key, value in evidence.items() if value or value == 0.0}
    return Rule(
        name, {"all": result.program}, "found by symbolic search, refined", LEARNING_RATES, {}, provenance, evidence
    )


def check_name(name: str) -> None:
    """Raise RulesmithError unless a rule can be called so."""
    Rule(name, {"all": Program.parse(WARM_START)})


def refinement_evaluator() -> Callable[[tuple[str, Any, Any]], Any]:
    """Return what a worker does: measure AdamW on a task, or score a program in full on tasks, with seeds."""
    from ...meta.fitness import Fitness, Protocol

    made: dict[Any, Fitness] = {}

    def fitness(tasks: tuple[str, ...], seeds: tuple[int, ...]) -> Fitness:
        if (tasks, seeds) not in made:
            made[tasks, seeds] = Fitness(Protocol(tasks, seeds, FACTORS, hopeless_pilot=math.inf))
        return made[tasks, seeds]

    def evaluate(job: tuple[str, Any, Any]) -> Any:
        match job:
            case "adamw", task, (tasks, seeds, setting):
                return fitness(tasks, seeds).measure_adamw(task, setting)
            case _, text, (tasks, seeds, reference):
                return fitness(tasks, seeds)(Program.parse(text), reference)

    return evaluate
