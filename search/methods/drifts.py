"""Symbolic search over drifts: on the returns of the agents that they train, or on a learned drift to be distilled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...envs.registry import make
from ...meta.drift_learner import DriftLearner, Hyper
from ...meta.learners import learner_for, settings_of, updates_for
from ...meta.population import Population, Trials, repeated
from ...meta.score import Score
from ...meta.visited import Visited, visited
from ...programs import Program, ProgramError, RulesmithError, rule_file
from ...programs.drift import drift_slope
from ...programs.interpreter import Capacity, Code, encode, interpret_drift
from ...programs.objective import Objective
from ..curricula.fixed import Fixed
from ..curricula.lifetimes import draw_lifetimes
from ..engine import Observer
from ..executors import cache_compilations
from ..facts import facts_of
from ..mutation import Limits, checked, inlined
from ..problems.return_scale import ReturnScale, measure_scale
from ..program_store import ProgramStore
from ..session import run_over_programs
from ..strategies.evolution import RegularizedEvolution
from .objective import check_horizon
from .symbolic import Symbolic

CAPACITY = Capacity(statements=24, registers=32)


@dataclass(frozen=True)
class DriftSearchConfig:
    """What a search over drift programs is.

    Attributes:
        environments: names.
        horizon: shortest and longest lifetime, in environment steps.
        init: the drift to start from, a published one or a rule file.
        each: lifetimes of a program in each environment; the same for all programs.
        episodes: whole episodes that an agent's last policy is judged by.
        entropy: weight of the agents' entropy bonus.
        agent: settings of the agents.
        target: of a distillation, the digest of the learned drift's arrays; else "".
        population: programs in it.
        tournament: programs drawn for each child.
        batch: children bred from one snapshot of the population.
        restart: programs between restarts.
        statements: the most statements of a program.
        seed: of the run.
    """

    environments: tuple[str, ...]
    horizon: tuple[float, float]
    init: str = "ppo-clip"
    each: int = 4
    episodes: int = 16
    entropy: float = 0.01
    agent: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    population: int = 100
    tournament: int = 8
    batch: int = 32
    restart: int = 20_000
    statements: int = 16
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data, under the names that reports of symbolic runs read."""
        return {**asdict(self), "strategy": "evolution", "tasks": list(self.environments)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> DriftSearchConfig:
        """Return what `to_dict` was called on."""
        known = {name: value for name, value in fields.items() if name not in ("strategy", "tasks")}
        return cls(**{**known, "environments": tuple(known["environments"]), "horizon": tuple(known["horizon"])})


def _encoded(texts: Sequence[str]) -> list[Code | ProgramError]:
    codes: list[Code | ProgramError] = []
    for text in texts:
        try:
            codes.append(encode(Program.parse(text).simplified(), CAPACITY))
        except ProgramError as error:
            codes.append(error)
    return codes


def _interpreted(code: Code, ratio: Any, log_ratio: Any, advantage: Any, progress: Any) -> Any:
    return interpret_drift(code, ratio, log_ratio, advantage, progress)


class ReturnExecutor:
    """Scores drift programs by the agents that they train, interpreted: one compile for all programs.

    The fitness is minus the normalized return (0 random, 1 tuned PPO), a mean over environments and lifetimes.
    """

    def __init__(self, config: DriftSearchConfig, references: Sequence[ReturnScale]) -> None:
        self.workers = len(jax.devices())
        self.batch = config.batch
        self._parts = []
        for i, (name, reference) in enumerate(zip(config.environments, references, strict=True)):
            env, settings = make(name), settings_of("drift", config.agent)
            learner = DriftLearner(env, _interpreted, settings)  # pyright: ignore[reportArgumentType]
            bounds = updates_for(config.horizon[0], settings), updates_for(config.horizon[1], settings)
            drawn = draw_lifetimes(env, bounds, (1, config.each), jax.random.fold_in(jax.random.key(config.seed), i))
            hyper = Hyper(reference.learning_rate, config.entropy)
            self._parts.append((name, Population(learner, config.episodes), drawn, hyper, reference))

    def map(self, items: Sequence[Any]) -> list[Score]:
        """Return the scores of ("score", text, _)."""
        codes = _encoded([text for _, text, _ in items])
        fit = [i for i, code in enumerate(codes) if not isinstance(code, ProgramError)]
        losses: dict[int, dict[str, float]] = {i: {} for i in fit}
        for begin in range(0, len(fit), self.batch):
            part = fit[begin : begin + self.batch]
            padded = part + part[-1:] * (self.batch - len(part))
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(codes[i] for i in padded))
            for name, run, drawn, hyper, reference in self._parts:
                each = drawn.updates.shape[1]
                candidate, lifetime = np.repeat(np.arange(self.batch), each), np.tile(np.arange(each), self.batch)
                # Those that only pad the batch learn nothing, so that they cost little.
                updates = np.where(candidate < len(part), drawn.updates[0][lifetime], 0).astype(np.int32)
                trials = Trials(
                    candidate.astype(np.int32),
                    updates,
                    drawn.keys[0][lifetime],
                    jax.tree.map(lambda x, at=lifetime: x[0][at], drawn.params),
                    repeated(hyper, len(candidate)),
                )
                final = run(stacked, trials).final.reshape(self.batch, each).mean(axis=1)
                for i, value in zip(part, final, strict=False):
                    losses[i][name] = -float(reference.normalized(value))
        return [_score(code, losses.get(i, {})) for i, code in enumerate(codes)]

    def close(self) -> None:
        """Do nothing."""


class SlopeExecutor:
    """Scores drift programs by how near their slopes in r are to a learned drift's, where an agent went.

    The fitness is the mean squared difference, relative to the mean square of the learned drift's slope.
    """

    workers = 1

    def __init__(self, target: Objective, seen: Visited) -> None:
        log_ratio, advantage, progress = (jnp.asarray(x) for x in seen)

        def slope(drift: Callable[..., Any]) -> Any:
            return drift_slope(lambda r, log_r, a: drift(r, log_r, a, progress), log_ratio, advantage)

        learned, arrays = target.drift(), target.arrays
        wanted = slope(lambda *x: learned(arrays, *x))
        size = jnp.square(wanted).mean()
        if not size > 0:
            raise RulesmithError(f"{target.name} has no slope wherever its agents went: nothing to distil")
        self._error = jax.jit(
            lambda code: jnp.square(slope(lambda *x: interpret_drift(code, *x)) - wanted).mean() / size
        )

    def map(self, items: Sequence[Any]) -> list[Score]:
        """Return the scores of ("score", text, _)."""
        scores = []
        for code in _encoded([text for _, text, _ in items]):
            losses = {} if isinstance(code, ProgramError) else {"slope": float(self._error(code))}
            scores.append(_score(code, losses))
        return scores

    def close(self) -> None:
        """Do nothing."""


def _score(code: Code | ProgramError, losses: dict[str, float]) -> Score:
    if isinstance(code, ProgramError):
        return Score(np.inf, str(code))
    for name, loss in losses.items():
        if not np.isfinite(loss):
            return Score(np.inf, f"diverges on {name}")
    return Score(float(np.mean(list(losses.values()))), "", losses)


MEASURES = {
    "returns": "minus the return at the end of a lifetime (0 random, -1 tuned PPO)",
    "slopes": "squared error of the slope, relative to the learned drift's square,",
}


def discover(
    config: DriftSearchConfig,
    directory: Path,
    *,
    target: Objective | None = None,
    programs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
) -> None:
    """Search drift programs, or go on with a search.

    Args:
        config: what to search; of a resumed run, its own is used.
        directory: of the run.
        target: the learned drift to distil; None to search on returns.
        programs: stop after so many, counted from the start of the run, at the end of the batch.
        minutes: stop after so long, counted from now, at the end of a batch.
        resume: go on with the run in `directory`.
        observers: see each step, after the store.
        status: told what is going on before the first step.

    Raises:
        RulesmithError: directory, start, environments, horizons or settings are not right; in one line.
    """
    cache_compilations()
    measure = MEASURES["slopes" if target else "returns"]
    if resume:
        with ProgramStore.open(directory, write=True) as store:
            if store.fact("measure") != measure:
                raise RulesmithError(f"{directory} is not a {'distillation' if target else 'search over drifts'}")
            kept = DriftSearchConfig.from_dict(store.fact("config"))
            if target and kept.target != config.target:
                raise RulesmithError(f"{directory} distils another drift, or the same before it changed")
            _run(kept, store, target, programs, minutes, observers, status)
        return
    start = start_program(config)
    settings = settings_of("drift", config.agent)
    check_horizon(config.horizon)
    if config.population < 1:
        raise RulesmithError(f"a population of {config.population}; it must be above 0")
    for name in config.environments:
        learner_for(make(name), rule_file.find_objective("ppo-clip"), config.agent)
    for steps in config.horizon:
        updates_for(steps, settings)
    method = "distillation" if target else "symbolic objective"
    facts = facts_of(method, config.to_dict(), ("gymnax", "brax"), measure=measure, start=start.to_text())
    with ProgramStore.create(directory, facts) as store:
        _run(config, store, target, programs, minutes, observers, status)


def start_program(config: DriftSearchConfig) -> Program:
    """Return the drift that a config starts from, hyperparameters inlined.

    Raises:
        RulesmithError: there is no such drift, or it is a network.
    """
    found = rule_file.find_objective(config.init)
    if found.program is None:
        raise RulesmithError(f"--init {config.init}: a search over programs starts from a program, not from a network")
    program = inlined(found.program)
    checked(program, Limits(statements=config.statements))
    return program


def _executor(
    config: DriftSearchConfig, store: ProgramStore, target: Objective | None, status: Callable[[str], None]
) -> ReturnExecutor | SlopeExecutor:
    kept = store.fact("reference") or {}
    for name in config.environments:
        if name not in kept:
            status(f"compiling {name} and measuring random policies and tuned PPO there")
            measured = ("drift", config.agent, config.episodes, config.entropy, config.horizon[1])
            kept[name] = asdict(measure_scale(make(name), *measured))
            store.add_fact("reference", kept)
    references = [ReturnScale(**kept[name]) for name in config.environments]
    if target is None:
        return ReturnExecutor(config, references)
    status(f"training an agent by {target.name}, to see which ratios and advantages it meets")
    parts = []
    for i, (name, reference) in enumerate(zip(config.environments, references, strict=True)):
        env = make(name)
        learner = learner_for(env, target, config.agent)
        updates = updates_for(config.horizon[1], learner.settings)
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        hyper = Hyper(reference.learning_rate, config.entropy)
        arrays = {n: jnp.asarray(x) for n, x in target.arrays.items()}
        parts.append(visited(learner, arrays, hyper, env.params, updates, key, 4096))
    return SlopeExecutor(target, Visited(*(np.concatenate(x) for x in zip(*parts, strict=True))))


def _run(
    config: DriftSearchConfig,
    store: ProgramStore,
    target: Objective | None,
    programs: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    status: Callable[[str], None],
) -> None:
    start = Program.parse(store.fact("start"))
    executor = _executor(config, store, target, status)
    strategy = RegularizedEvolution(
        start, config.population, config.tournament, config.batch, config.restart, Limits(config.statements)
    )
    curriculum, problem = Fixed(config.environments), Symbolic(executor, None)
    key = jax.random.key(config.seed)
    status("compiling the interpreter of drifts, and searching")
    run_over_programs(
        store, strategy, curriculum, problem, key=key, programs=programs, minutes=minutes, observers=observers
    )
