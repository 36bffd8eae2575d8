"""Symbolic discovery of optimizers: programs that train networks, found by regularized evolution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...envs.tasks import find, task_name
from ...programs import Program, RulesmithError, rule_file
from ...programs.fingerprint import examine_all
from ...programs.parts import Programs
from ...programs.quantities import counted
from ...programs.rule import Rule
from ..curricula.halving import Halving
from ..curricula.task_order import TaskOrder
from ..method import Method, Parts, Preset, Setup, Workers
from ..mutation import Limits, WordCosts, checked, inlined
from ..options import Tasks
from ..problems.programs import ProgramProblem
from ..problems.trainings import (
    SEARCH_LOSS,
    TrainingScorer,
    checked_tasks,
    evaluator,
    executor_for,
    group_evaluator,
    keep_learning_rates,
    learning_rate_facts,
    measure_adamw,
    word_costs,
)
from ..program_store import ProgramStore
from ..strategies.program_strategies import program_strategy

WARM_START = """
def update(w, g, m, v, lr):
    m = interp(g, m, 0.9)
    v = interp(square(g), v, 0.999)
    return lr * (m / (sqrt(v) + 1e-8) + 0.01 * w), m, v
"""
"""AdamW without bias correction, the paper's start."""


@dataclass(frozen=True)
class Symbolic:
    """A search over programs that train networks; it decides, with versions and hardware, every byte that is found.

    Attributes:
        strategy: How programs are proposed: evolution, or a baseline to compare it with, random (search) or constants
            of the start program alone; or the import path of a strategy of your own.
        init: The rule to start from: warm-start (AdamW without bias correction), a published rule or a rule file.
        tasks: Networks to train, cheapest first: names, sets (search, selection, held-out), import paths of a
            rulesmith.Task (module:attribute; examples/plain_dict.py has one), or Task objects.
        seeds: Trainings of each task for each step size.
        population: Programs in the population.
        tournament: Programs drawn for each child; the best becomes its parent.
        batch: Children that are bred from one snapshot of the population.
        restart: Programs between restarts.
        statements: The most statements of a program; a rule may have two.
        cost: The most time of a step beside that of the gradient, on the last task; 0 takes half as much again as the
            rule to start from, and at least 4.
        curriculum: How programs are tried: halving (from short trainings and small networks to long and large ones,
            each time the best share only), fixed (on one task after another, cheapest first, while they keep up with
            the best), or regret (the same, but first where the best does worst against tuned AdamW).
        kept: Share of the programs that halving keeps of each size and length.
        focus: Tasks that are tried first, for regret.
        memory: GiB for programs that are trained at once, vmapped; 0 takes half of an accelerator's, and on CPUs trains
            one program after another, which is faster there.
        seed: Seed of all the run's random numbers.
    """

    strategy: str = "evolution"
    init: str = "warm-start"
    tasks: Tasks = ("search",)
    seeds: int = 2
    population: int = 500
    tournament: int = 15
    batch: int = 64
    restart: int = 50_000
    statements: int = 40
    cost: float = 0.0
    curriculum: Literal["halving", "fixed", "regret"] = "halving"
    kept: float = 0.33
    focus: int = 1
    memory: float = 0.0
    seed: int = 0


LEAST_COST = 4.0
"""Where none is named, the most time of a step is at least so many times the gradient's."""

TWO_SIZES = (
    *("digits-mlp-2k", "topics-mlp-2k", "flower-mlp-2k", "digits-autoencoder-2k"),
    *("digits-mlp-20k", "topics-mlp-20k", "flower-mlp-20k", "topics-transformer-20k"),
)
"""Tasks of the search's data at two sizes: what wins on the small ones must win on the large ones too."""

PRESETS: dict[str, Preset[Symbolic]] = {
    "demo": Preset(Symbolic(tasks=("digits-mlp-2k", "digits-autoencoder-2k"), population=100, tournament=8), 1.5),
    "standard": Preset(Symbolic(tasks=TWO_SIZES), 60.0),
    "paper": Preset(
        Symbolic(
            tasks=("digits-mlp-20k", "digits-autoencoder-20k", "topics-mlp-20k"),
            population=1000,
            tournament=25,
            batch=250,
            restart=300_000,
        ),
        60.0 * 24 * 7,
    ),
}


def start_programs(config: Symbolic) -> Programs:
    """Return the programs that a config starts from, hyperparameters inlined.

    Raises:
        RulesmithError: there is no such rule, or a search cannot start there.
    """
    if config.init == "warm-start":
        return Programs.of(Program.parse(WARM_START))
    start = inlined(Programs.of(rule_file.find_optimizer(config.init).programs))
    checked(start, Limits(config.statements, math.inf))
    if fault := examine_all(start)[1]:
        raise RulesmithError(f"--init {config.init}: no search can start there: {fault}")
    return start


def make_task_order(config: Symbolic) -> TaskOrder:
    """Return the order in which a config's tasks are tried without halving.

    Raises:
        RulesmithError: there is no such task, or there are too few.
    """
    names = tuple(map(task_name, checked_tasks(config.tasks)))
    return TaskOrder(names, config.focus, 1.0) if config.curriculum == "regret" else TaskOrder(names)


def make_limits(config: Symbolic, start: Programs, costs: WordCosts) -> Limits:
    """Return what a config's mutants must keep to.

    Raises:
        ProgramError: the start does not.
    """
    cost = checked(start, Limits(config.statements, math.inf, costs)).cost
    limits = Limits(config.statements, config.cost or max(LEAST_COST, 1.5 * cost), costs)
    checked(start, limits)
    return limits


def _check(config: Symbolic) -> dict[str, Any]:
    if config.kept > 1:
        raise RulesmithError(f"kept is {config.kept:g}; it must be a share, up to 1")
    start = start_programs(config)
    make_task_order(config)
    program_strategy(config, start, Limits(config.statements, math.inf))
    return {"start": start.to_text()}


def _parts(config: Symbolic, setup: Setup) -> Parts:
    from ...meta.fitness import AdamWReference, Protocol, rungs_of

    start, tasks = Programs.parse(setup.fact("start")), checked_tasks(config.tasks)
    costs = setup.fact("costs")
    if costs is None:
        setup.status(f"measuring what the words of a program cost on {task_name(tasks[-1])}")
        costs = word_costs(find(tasks[-1:])[0])
    strategy = program_strategy(config, start, make_limits(config, start, costs))
    setup.keep("costs", costs)
    curriculum: Any = make_task_order(config)
    protocol = Protocol(tasks, tuple(range(config.seeds)), memory=config.memory)
    one, together = (functools.partial(build, protocol) for build in (evaluator, group_evaluator))
    executor = executor_for(one, together, config.memory, setup.resources)
    with ExitStack() as cleanup:
        cleanup.callback(executor.close)
        workers = counted(executor.workers, "worker")
        setup.status(f"starting {workers}, compiling the tasks and measuring tuned AdamW on them")
        kept = setup.fact("reference")
        reference = AdamWReference(**kept) if kept else measure_adamw(executor, curriculum.tasks, start)
        setup.keep("reference", asdict(reference))
        cleanup.pop_all()
    if config.curriculum == "halving":
        curriculum = Halving(rungs_of(protocol, config.kept), reference)
    problem = ProgramProblem(TrainingScorer(executor, reference))
    names = [task_name(task) for task in tasks]

    def after(store: ProgramStore, status: Callable[[str], None]) -> None:
        if store.archive():
            keep_learning_rates(store, executor, store.best().programs, dict(zip(names, names)), status)

    return Parts(strategy, curriculum, problem, after=after, close=executor.close)


def _rule(store: ProgramStore) -> Rule:
    found, config = store.best(), store.fact("config")
    evidence: dict[str, Any] = learning_rate_facts(store, found.programs)
    evidence |= {SEARCH_LOSS: found.fitness}
    evidence |= {f"{SEARCH_LOSS}, on {task}": loss for task, loss in found.losses.items()}
    provenance = {"origin": "rulesmith", "method": f"symbolic, {config['strategy']}", "start": config["init"]}
    provenance |= {"seed": config["seed"], "candidate": found.number}
    programs, about = dict(found.programs.with_weight_decay().parts), "found by symbolic search"
    return Rule(f"found-{found.number}", programs, about, (1e-4, 1.0), {}, provenance, evidence)


METHOD = Method(
    "symbolic",
    Symbolic,
    PRESETS,
    ProgramStore,
    "programs",
    _check,
    _parts,
    _rule,
    view="programs",
    resources=Workers,
)
"""The method."""

__all__ = ["METHOD", "WARM_START", "Symbolic", "start_programs"]
