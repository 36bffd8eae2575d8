"""Symbolic discovery of optimizers: programs that train networks, found by regularized evolution."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...meta.score import Score
from ...programs import Program, RulesmithError, rule_file
from ...programs.errors import nearest
from ..candidates import Candidate, Feedback
from ..curricula.task_order import TaskOrder
from ..engine import Evaluation, Observer
from ..executors import Executor, Groups, Here, Pool, available_cores
from ..facts import facts_of
from ..mutation import MUTATIONS, Limits, checked, inlined
from ..program_store import ProgramStore
from ..session import run_over_programs
from ..strategies.evolution import RandomSearch, RegularizedEvolution

WARM_START = """
def update(w, g, m, v, lr):
    m = interp(g, m, 0.9)
    v = interp(square(g), v, 0.999)
    return lr * (m / (sqrt(v) + 1e-8) + 0.01 * w), m, v
"""
"""AdamW without bias correction, the paper's start."""


@dataclass(frozen=True)
class SymbolicConfig:
    """What a run is; it decides, with versions and hardware, every byte that the run finds.

    Attributes:
        strategy: "evolution", or a baseline: "random" search, "constants" (tuning the start program's constants).
        init: the rule to start from: "warm-start" (AdamW without bias correction), a published rule or a rule file.
        tasks: names, names of sets, or import paths, cheapest first.
        seeds: trainings of each task for each step size.
        population: programs in it.
        tournament: programs drawn for each child.
        batch: children bred from one snapshot of the population.
        restart: programs between restarts.
        statements: the most statements of a program.
        curriculum: the order of the tasks: "fixed", cheapest first, or "regret", first where the best program does
            worst against tuned AdamW, and on the others only if it beats the best there.
        focus: tasks that are tried first, for "regret".
        memory: GiB for programs that are trained at once, vmapped; 0: half of an accelerator's, and on CPUs one program
            after another, which is faster there.
        seed: of the run.
    """

    strategy: Literal["evolution", "random", "constants"] = "evolution"
    init: str = "warm-start"
    tasks: tuple[str, ...] = ("search",)
    seeds: int = 2
    population: int = 500
    tournament: int = 15
    batch: int = 64
    restart: int = 50_000
    statements: int = 40
    curriculum: Literal["fixed", "regret"] = "fixed"
    focus: int = 1
    memory: float = 0.0
    seed: int = 0


PRESETS: dict[str, tuple[SymbolicConfig, float]] = {
    "demo": (SymbolicConfig(tasks=("digits-mlp-2k", "digits-autoencoder-2k"), population=100, tournament=8), 1.5),
    "standard": (SymbolicConfig(), 60.0),
    "paper": (
        SymbolicConfig(
            tasks=("digits-mlp-20k", "digits-autoencoder-20k", "topics-mlp-20k"),
            population=1000,
            tournament=25,
            batch=250,
            restart=300_000,
        ),
        60.0 * 24 * 7,
    ),
}
"""By name: the config, and the minutes that a run takes if nothing else bounds it."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster to evaluate on; see `ray_executor.RayPool`.

    Attributes:
        address: of its head; None starts one on this machine.
        cores: that a worker takes.
        gpus: that a worker takes.
    """

    address: str | None = None
    cores: int = 1
    gpus: float = 0.0


def _executor(config: SymbolicConfig, workers: int | None, cluster: Cluster | None) -> Executor:
    import jax

    from ...meta.fitness import Protocol

    seeds = tuple(range(config.seeds))
    protocol = Protocol(checked_tasks(config.tasks), seeds, memory=config.memory)
    together = functools.partial(_group_evaluator, protocol)
    if cluster is None and jax.default_backend() != "cpu":
        return Groups(Here(together))
    grouped = config.memory > 0 or (cluster is not None and cluster.gpus > 0)
    build = together if grouped else functools.partial(_evaluator, protocol)
    if cluster is None:
        executor = Pool(build, workers or available_cores())
    else:
        from ..ray_executor import RayPool

        executor = RayPool(build, cluster.address, cluster.cores, cluster.gpus)
    return Groups(executor) if grouped else executor


@dataclass(frozen=True)
class Symbolic:
    """The problem: programs are worth their `Score`; the state is the cache of scores by digest.

    Attributes:
        executor: does a worker's jobs.
        reference: AdamW's losses.
    """

    executor: Executor
    reference: Any

    def init(self, key: Any) -> dict[str, Score]:
        """Return an empty cache."""
        return {}

    def evaluate(self, state: dict[str, Score], candidates: Sequence[Candidate], tasks: Any, key: Any) -> Evaluation:
        """Score the candidates: from the cache where digest or fingerprint is known, else by training.

        The tasks are the program to keep up with, a `Leader`, or None.

        The cache is changed in place: it only grows, and a copy for each batch would cost more than the search.
        """
        from ...programs.fingerprint import examine

        started = time.perf_counter()
        fingerprints: dict[str, str] = {}  # of the programs without a score, by digest
        waiting: dict[str, Candidate] = {}  # the first program of each fingerprint that has none
        sources: list[str] = []
        for candidate in candidates:
            digest = candidate.digest
            if digest in state or digest in fingerprints:
                sources.append("digest")
                continue
            mark, proportional = examine(candidate.program)
            mark = fingerprints[digest] = "f" + mark
            if mark in state or mark in waiting:
                sources.append("fingerprint")
            elif not proportional:
                # Else a program could win by mixing a constant of its own into the learning rate that it is given.
                state[mark] = Score(math.inf, "the update is not proportional to the learning rate")
                sources.append("evaluated")
            else:
                waiting[mark] = candidate
                sources.append("evaluated")
        bred = time.perf_counter()
        jobs = [("score", c.program.to_flat_text(), (self.reference, tasks)) for c in waiting.values()]
        scores = self.executor.map(jobs)
        trained = time.perf_counter()
        state.update(zip(waiting, scores, strict=True))
        state.update({digest: state[mark] for digest, mark in fingerprints.items()})
        feedback = [
            Feedback(state[c.digest], source, "" if source == "digest" else fingerprints[c.digest])
            for c, source in zip(candidates, sources, strict=True)
        ]
        metrics = {"own_seconds": bred - started, "training_seconds": trained - bred}
        return Evaluation(state, feedback, [told.score for told in feedback], metrics)


def _group_evaluator(protocol: Any) -> Callable[[Sequence[tuple[str, Any, Any]]], list[Any]]:
    """Return what a worker does: measure AdamW on tasks and a program in the pilot, or score programs, together."""
    from ...meta.fitness import Fitness

    fitness = Fitness(protocol)

    def measure(job: tuple[str, Any, Any]) -> Any:
        match job:
            case "adamw", task, setting:
                return fitness.measure_adamw(task, setting)
            case _, text, _:
                return fitness.measure_pilot(Program.parse(text)).loss

    def evaluate(jobs: Sequence[tuple[str, Any, Any]]) -> list[Any]:
        if jobs[0][0] != "score":
            return [measure(job) for job in jobs]
        return fitness.scores([Program.parse(text) for _, text, _ in jobs], *jobs[0][2])

    return evaluate


def _evaluator(protocol: Any) -> Callable[[tuple[str, Any, Any]], Any]:
    """Return what a worker does that takes one job after another."""
    evaluate = _group_evaluator(protocol)
    return lambda job: evaluate([job])[0]


def measure_reference(executor: Executor, tasks: Sequence[str], start: Program) -> Any:
    """Return AdamW's losses, at its shipped setting on each task, or one tuned now where there is none."""
    from ...meta.fitness import reference_of
    from ...meta.tuning import baseline

    jobs = [("adamw", task, baseline("adamw", task)) for task in tasks]
    *found, pilot = executor.map([*jobs, ("pilot", start.to_text(), None)])
    return reference_of(dict(zip(tasks, found, strict=True)), pilot)


def make_strategy(config: SymbolicConfig, start: Program) -> RegularizedEvolution | RandomSearch:
    """Return the strategy that a config names."""
    limits = Limits(statements=config.statements)
    if config.strategy == "random":
        return RandomSearch(start, config.batch, limits=limits)
    kinds = ("constant",) if config.strategy == "constants" else MUTATIONS
    return RegularizedEvolution(
        start, config.population, config.tournament, config.batch, config.restart, limits, kinds
    )


def make_curriculum(config: SymbolicConfig) -> TaskOrder:
    """Return the curriculum that a config names.

    Raises:
        RulesmithError: there is no such task, or there are too few.
    """
    tasks = checked_tasks(config.tasks)
    return TaskOrder(tasks, config.focus, 1.0) if config.curriculum == "regret" else TaskOrder(tasks)


def discover(
    config: SymbolicConfig,
    directory: Path,
    *,
    programs: int | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    cluster: Cluster | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a symbolic search, or go on with one.

    Args:
        config: what to search; of a resumed run, its own is used.
        directory: of the run.
        programs: stop after so many, counted from the start of the run, at the end of the batch.
        minutes: stop after so long, counted from now, at the end of a batch.
        workers: processes; by default one for each core.
        cluster: where evaluations run instead.
        resume: go on with the run in `directory`.
        observers: see each step, after the store.
        status: told what is going on before the first step.

    Raises:
        RulesmithError: the directory, the start rule or the tasks are not right; in one line.
    """
    if resume:
        with ProgramStore.open(directory, write=True) as store:
            store.require("symbolic")
            fields = store.fact("config")
            config = SymbolicConfig(**{**fields, "tasks": tuple(fields["tasks"])})
            with closing(_executor(config, workers, cluster)) as executor:
                _run(config, store, executor, programs, minutes, observers, status)
        return
    start = start_program(config)
    make_curriculum(config)
    make_strategy(config, start)
    facts = facts_of("symbolic", asdict(config), (), start=start.to_text())
    # The executor first: a cluster that is not there must leave no run behind.
    with closing(_executor(config, workers, cluster)) as executor, ProgramStore.create(directory, facts) as store:
        _run(config, store, executor, programs, minutes, observers, status)


def start_program(config: SymbolicConfig) -> Program:
    """Return the program that a config starts from, hyperparameters inlined.

    Raises:
        RulesmithError: there is no such rule, or a search cannot start there.
    """
    if config.init == "warm-start":
        return Program.parse(WARM_START)
    program = inlined(rule_file.find_optimizer(config.init).program)
    checked(program, Limits(statements=config.statements))
    return program


def checked_tasks(names: Sequence[str]) -> tuple[str, ...]:
    """Return tasks' names and import paths, sets unfolded.

    Raises:
        RulesmithError: there is no such task, or none is named.
    """
    from ...envs.tasks import SETS, find

    found = [member for name in names for member in SETS.get(name, (name,))]
    if not found:
        raise RulesmithError("--tasks: name at least one task or set; `rulesmith tasks` lists them")
    find(found)
    return tuple(found)


def _run(
    config: SymbolicConfig,
    store: ProgramStore,
    executor: Executor,
    programs: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    status: Callable[[str], None],
) -> None:
    import jax

    from ...meta.fitness import AdamWReference

    start, key = Program.parse(store.fact("start")), jax.random.key(config.seed)
    many = "s" if executor.workers > 1 else ""
    status(f"starting {executor.workers} worker{many}, compiling the tasks and measuring tuned AdamW on them")
    kept = store.fact("reference")
    reference = AdamWReference(**kept) if kept else measure_reference(executor, checked_tasks(config.tasks), start)
    store.add_fact("reference", asdict(reference))
    strategy, curriculum, problem = make_strategy(config, start), make_curriculum(config), Symbolic(executor, reference)
    run_over_programs(
        store, strategy, curriculum, problem, key=key, programs=programs, minutes=minutes, observers=observers
    )


def preset(name: str) -> tuple[SymbolicConfig, float]:
    """Return a preset's config and its minutes.

    Raises:
        RulesmithError: there is no such preset.
    """
    if name not in PRESETS:
        raise RulesmithError(f"no preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


__all__ = ["PRESETS", "Symbolic", "SymbolicConfig", "discover", "preset"]
