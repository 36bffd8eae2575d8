"""Discovery of general RL rules through a curriculum of levels (GROOVE, Jackson et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...envs.environment import Discrete, Environment
from ...envs.gridworld import DISTRIBUTIONS, Level
from ...envs.gridworld.level_file import LARGEST, MOST
from ...envs.registry import make
from ...programs import RulesmithError, rule_file
from ...programs.errors import nearest
from ...programs.objective import Objective
from ..curricula.level_buffer import LevelBuffer, ReplaySettings
from ..curricula.scores import LevelScore, score_named
from ..engine import Observer, Problem
from ..executors import cache_compilations
from ..facts import facts_of
from ..level_store import LevelStore
from ..problems.held_out import HELD_OUT_KEY, HeldOut, draw_of, is_tabular
from ..session import run_with_checkpoints
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import MetaGradientDescent
from .objective import META_GRADIENT, start_arrays

RULES = ("lpg", "ta-lpg")
ANTAGONIST_TABLE_RATE, ANTAGONIST_NETWORK_RATE = 0.3, 3e-3
"""Learning rates of an antagonist that is a drift: of tables of states (A2C reaches 0.87 of the optimal return within
100 updates on `all`; 0.80 at a third of the rate, 0.78 at three times), and of networks."""


@dataclass(frozen=True)
class CurriculumConfig:
    """What a run is; it decides, with versions and hardware, every byte that the run finds.

    Attributes:
        rule: one of `RULES`.
        levels: a distribution of the grid-world (`all`, `small`, ...), or the import path of an environment with one.
        score: of levels; see `curricula.scores.LEVEL_SCORES`.
        optimizer: "meta-gradient", or a kind of evolution strategy.
        updates: shortest and longest life of an agent, drawn log-uniformly.
        agents: that live at once, each on a level of its own; for evolution strategies their pairs do.
        episodes: whole episodes that an agent's last policy is judged by.
        hidden: units of the rule's recurrent net.
        agent: settings of the agents that are not the usual ones.
        antagonist: an objective, whose agents say what is possible (for algorithmic regret).
        antagonist_seeds: agents of it on each level.
        replay: of levels.
        learning_rate: of meta-gradients (Adam).
        chunk: agents that are differentiated together on a device: it bounds the memory.
        es: the evolution strategy, if it is one.
        probe: steps between probes on levels kept out of the search.
        held_out: how many those are.
        seed: of the run.
    """

    rule: str = "lpg"
    levels: str = "all"
    score: str = "algorithmic-regret"
    optimizer: str = META_GRADIENT
    updates: tuple[int, int] = (10, 250)
    agents: int = 512
    episodes: int = 16
    hidden: int = 256
    agent: Mapping[str, Any] = field(default_factory=dict)
    antagonist: str = "a2c"
    antagonist_seeds: int = 2
    replay: ReplaySettings = ReplaySettings()
    learning_rate: float = 1e-4
    chunk: int = 4
    es: EsSettings = EsSettings(sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise")
    probe: int = 200
    held_out: int = 16
    seed: int = 0

    @property
    def strategy(self) -> str:
        """Name of the optimizer."""
        return self.optimizer

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and the strategy's name, as plain data."""
        return {**asdict(self), "strategy": self.strategy}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CurriculumConfig:
        """Return what `to_dict` was called on."""
        known = {name: value for name, value in fields.items() if name != "strategy"}
        low, high = known["updates"]
        made = {"updates": (low, high), "replay": ReplaySettings(**known["replay"]), "es": EsSettings(**known["es"])}
        return cls(**{**known, **made})


_FEW = {"workers": 16}

PRESETS: dict[str, tuple[CurriculumConfig, float]] = {
    "demo": (
        CurriculumConfig(
            levels="small",
            updates=(10, 50),
            agents=16,
            hidden=32,
            agent=_FEW,
            replay=ReplaySettings(capacity=256),
            learning_rate=1e-3,
            es=EsSettings(population=32, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
            probe=100,
            held_out=8,
        ),
        1.5,
    ),
    "standard": (
        CurriculumConfig(
            updates=(10, 100),
            agents=32,
            hidden=64,
            agent=_FEW,
            replay=ReplaySettings(capacity=1000),
            learning_rate=1e-3,
            es=EsSettings(population=64, sigma=0.1, learning_rate=0.01, ranks="pairwise"),
        ),
        60.0,
    ),
    "paper": (
        CurriculumConfig(
            es=EsSettings(population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise")
        ),
        60.0 * 24 * 7,
    ),
}
"""By name: the config, and the minutes that a run takes if nothing else bounds it."""


def preset(name: str) -> tuple[CurriculumConfig, float]:
    """Return a preset's config and its minutes.

    Raises:
        RulesmithError: there is no such preset.
    """
    if name not in PRESETS:
        raise RulesmithError(f"no preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def discover(
    config: CurriculumConfig,
    directory: Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a search on a curriculum of levels, or go on with one.

    Args:
        config: what to search; of a resumed run, its own is used.
        directory: of the run.
        steps: stop after so many meta-steps, counted from the start of the run.
        minutes: stop after so long, counted from now, at the end of a step.
        resume: go on with the run in `directory`.
        observers: see each step, after the store.
        status: told what is going on before the first.

    Raises:
        RulesmithError: the directory, levels, score or settings are not right; in one line.
    """
    if resume:
        with LevelStore.open(directory, write=True) as store:
            store.require("curriculum")
            _run(CurriculumConfig.from_dict(store.fact("config")), store, steps, minutes, observers, status)
        return
    parts_of(config)
    facts = facts_of("curriculum", config.to_dict(), ("evosax",), keeps="levels")
    with LevelStore.create(directory, facts) as store:
        _run(config, store, steps, minutes, observers, status)


@dataclass(frozen=True)
class Parts:
    """The parts of a run: the engine's three, and what measures the rule on levels kept out of the search."""

    strategy: EvolutionStrategy | MetaGradientDescent
    curriculum: LevelBuffer
    problem: Problem
    held_out: HeldOut


def parts_of(config: CurriculumConfig) -> Parts:
    """Return the parts of a run.

    Raises:
        RulesmithError: they do not go together, or one is out of range; in one line.
    """
    from ...meta.learners import hyper_for, learner_for
    from ...meta.meta_gradient import MetaGradient, MetaSettings
    from ...meta.population import Population
    from ..problems.agents import AgentsProblem
    from ..problems.lifetimes import PairedProblem
    from ..problems.probed import Probed

    if config.rule not in RULES:
        raise RulesmithError(f"no rule {config.rule!r}{nearest(config.rule, RULES)}; there are {', '.join(RULES)}")
    low, high = config.updates
    if not 1 <= low <= high:
        raise RulesmithError(f"lives of {low} to {high} updates: give 1 <= LOW <= HIGH")
    if config.agents < 1 or config.seed < 0 or config.antagonist_seeds < 1:
        raise RulesmithError("agents and antagonist seeds must be above 0, and the seed not below 0")
    env, score = environment_of_levels(config.levels), score_named(config.score)
    evolved = config.optimizer != META_GRADIENT
    if score.critic and evolved:
        raise RulesmithError(f"--score {config.score} needs agents' critics, which only {META_GRADIENT} has")
    start = start_arrays(config.rule, config.hidden, config.seed)
    learner = learner_for(env, Objective("search", "lpg", arrays=start), config.agent)
    hyper = hyper_for(env, "lpg", None, 0.0)
    population = Population(learner, config.episodes)
    if evolved:
        es = replace(config.es, name=config.optimizer)
        if es.ranks != "pairwise" or es.population % 2:
            raise RulesmithError("on a curriculum, the members of an antithetic pair are ranked: an even population")
        strategy, slots = EvolutionStrategy(es, start), es.population // 2
    else:
        strategy, slots = MetaGradientDescent(start, config.learning_rate), config.agents
    own = MetaSettings(chunk=config.chunk)
    whole = 1 if evolved else own.updates
    curriculum = LevelBuffer(draw_of(env), _edit_of(env), config.updates, slots, score, config.replay, whole)
    yardstick = _yardstick(config, env, score)
    if evolved:
        problem = PairedProblem(population, hyper, 1, yardstick)
    else:
        meta = MetaGradient(learner, hyper, own)
        problem = AgentsProblem(meta, slots, config.episodes, yardstick)
    held_out = HeldOut(env, population, hyper, high, config.held_out)

    def probe(candidates: Any) -> float:
        import jax

        last = (lambda x: np.asarray(x)[-1:]) if evolved else (lambda x: np.asarray(x)[None])
        return held_out(jax.tree.map(last, candidates))

    return Parts(strategy, curriculum, Probed(problem, probe, config.probe), held_out)


def environment_of_levels(name: str) -> Environment:
    """Return the environment of a distribution of levels.

    Raises:
        RulesmithError: there is none of that name, or the environment is one level only.
    """
    if ":" not in name and name not in DISTRIBUTIONS:
        known = ", ".join(DISTRIBUTIONS)
        raise RulesmithError(
            f"no levels {name!r}{nearest(name, DISTRIBUTIONS)}; there are {known}, or module:environment"
        )
    env = make(name if ":" in name else f"grid/{name}")
    if env.draw is None or not isinstance(env.params, Level):
        raise RulesmithError(
            f"{name} is no distribution of the grid-world's levels: an environment of them with `draw`"
        )
    board, objects = len(env.params.walls), len(env.params.rewards)
    if board > LARGEST or objects > MOST:
        raise RulesmithError(f"{name} has boards of {board} with {objects} objects; {LARGEST} and {MOST} at most")
    return env


def _edit_of(env: Environment) -> Callable[[Any, Any], Any] | None:
    if not is_tabular(env):
        return None
    import jax

    from ...envs.gridworld.editing import edited

    run = jax.jit(jax.vmap(edited))
    return lambda key, levels: run(jax.random.split(key, len(levels.steps)), levels)


def _yardstick(config: CurriculumConfig, env: Environment, score: LevelScore) -> Any:
    """Return what the score needs to know of levels, or None."""
    from ..problems.yardsticks import optimal_yardstick

    if score.yardstick == "optimal":
        if not is_tabular(env):
            raise RulesmithError(
                f"--score {config.score}: {config.levels} has levels whose objects appear on random cells; the exact "
                "optimal return is known for tabular ones only"
            )
        return optimal_yardstick
    return antagonist_of(config, env) if score.yardstick == "antagonist" else None


def antagonist_of(config: CurriculumConfig, env: Environment) -> Any:
    """Return the antagonist of a config.

    Raises:
        RulesmithError: there is no such objective, or it does not suit the environment.
    """
    from ...meta.learners import hyper_for, learner_for, settings_of
    from ...meta.population import Population
    from ..problems.yardsticks import Antagonist

    objective = rule_file.find_objective(config.antagonist)
    own = settings_of("lpg", config.agent)
    shared = {"workers": own.workers, "steps": own.steps}
    table = isinstance(env.observations, Discrete)
    rate = (ANTAGONIST_TABLE_RATE if table else ANTAGONIST_NETWORK_RATE) if objective.kind == "drift" else None
    population = Population(learner_for(env, objective, shared), config.episodes)
    most = max(config.held_out, config.es.population // 2 if config.optimizer != META_GRADIENT else config.agents)
    return Antagonist(population, objective, hyper_for(env, objective.kind, rate, 0.01), config.antagonist_seeds, most)


def _run(
    config: CurriculumConfig,
    store: LevelStore,
    steps: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    status: Callable[[str], None],
) -> None:
    import jax

    cache_compilations()
    parts = parts_of(config)
    store.rule_of = parts.strategy.mean
    if store.fact("held_out") is None:
        status(f"measuring {config.antagonist} on {config.held_out} levels of {config.levels} kept out of the search")
        antagonist, held = antagonist_of(config, environment_of_levels(config.levels)), parts.held_out
        unknown = np.full(config.held_out, np.nan, np.float32)
        found, _ = antagonist(held.levels, held.updates, np.isnan(unknown), unknown, jax.random.key(HELD_OUT_KEY))
        start = jax.tree.map(lambda x: x[None], start_arrays(config.rule, config.hidden, config.seed))
        figures = {"antagonist": held.share(found), "random": held(start, lived=False), "unit": held.unit}
        store.add_fact("held_out", figures)
    words = (
        "{unit} on held-out levels: agents that learn nothing {random:.3f}, those of the antagonist {antagonist:.3f}"
    )
    status(words.format(**store.fact("held_out")))
    status(f"compiling agents' lives under {config.rule}, on {len(jax.devices())} devices")
    run_with_checkpoints(
        store,
        parts.strategy,
        parts.curriculum,
        parts.problem,
        key=jax.random.key(config.seed),
        bound=steps,
        minutes=minutes,
        observers=observers,
    )


__all__ = ["PRESETS", "RULES", "CurriculumConfig", "discover", "preset"]
