"""Discovery of general RL rules through a curriculum of levels (GROOVE, Jackson et al. 2023)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...envs.environment import Discrete, Environment
from ...envs.gridworld import DISTRIBUTIONS, PUBLIC, Level
from ...envs.gridworld.level_file import LARGEST, MOST
from ...envs.registry import make
from ...meta.meta_settings import MetaSettings
from ...programs import RulesmithError, rule_file
from ...programs.errors import nearest, unknown
from ...programs.objective import Objective
from ...programs.quantities import counted
from ..config_codec import names_of
from ..curricula.level_buffer import LevelBuffer, ReplaySettings
from ..curricula.scores import LevelScore, every_figure, score_named
from ..engine import Problem
from ..level_store import LevelStore
from ..method import Devices, Method, Parts, Preset, Setup
from ..options import Levels, Multiples, Settings, Updates
from ..problems.held_out import HELD_OUT_KEY, HeldOut, is_tabular
from ..problems.return_scale import check_range
from ..runs import load
from ..starts import settings_of_agents, start_arrays
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import META_GRADIENT, MetaGradientDescent

GENERAL_RULES = ("lpg", "ta-lpg")
ANTAGONIST_RATES = {
    ("table", "adam"): 0.3,
    ("table", "sgd"): 40.0,
    ("network", "adam"): 3e-3,
    ("network", "sgd"): 3e-2,
}
"""Learning rates of an antagonist that is a drift, by kind of agent and of its steps. On tables A2C by Adam reaches
0.87 of the optimal return within 100 updates on `all`; 0.80 at a third of the rate, 0.78 at three times. Plain gradient
steps on tables have the public rate."""


@dataclass(frozen=True)
class CurriculumSearch:
    """A search for a general RL rule on levels that are chosen for what can be learned there.

    Attributes:
        rule: What is searched: lpg (a recurrent net instead of a loss), or ta-lpg (which also knows how much time is
            left).
        levels: Levels to live on: all, small, medium, large, mazes, or mixed (all and mazes); these with public- before
            them for the details of the public code (five moves, a fixed start); a level's file (.toml); the import
            path of a grid-world with a `draw` of its own, or such an Environment.
        score: Which levels are replayed: algorithmic-regret, exact-regret, these with relative- before them (as shares
            of the possible return), pvl, l1, maxmc; or random (always new levels), frozen (those that the buffer was
            first filled with).
        strategy: How the rule is improved: meta-gradient, or an evolution strategy with antithetic pairs that live
            whole lives (open-es, pgpe).
        updates: Shortest and longest life of an agent, in updates, drawn log-uniformly.
        agents: Agents that live at once, each on a level of its own, for meta-gradient.
        episodes: Whole episodes that an agent's last policy is judged by.
        hidden: Units of the rule's recurrent net, where it starts at random.
        init: The learned rule to start from, of the same kind: a published one, a rule file or a run; by default a
            random net.
        rates: Least and greatest learning rate of an agent, drawn log-uniformly for each life, as multiples of the
            usual one (40 on tables of states, 0.003 on networks).
        agent: Settings of the agents that are not the usual ones, such as workers=16.
        meta: How meta-gradients are taken.
        antagonist: The objective whose agents say what return is possible (for algorithmic regret): a2c, ppo-clip, a
            rule file.
        antagonist_seeds: Agents of the antagonist on each level.
        replay: How levels are kept and replayed.
        learning_rate: Learning rate of meta-gradients (Adam).
        chunk: Agents that are differentiated together on a device; it bounds the memory.
        es: The evolution strategy, if it is one.
        probe: Steps between probes on levels kept out of the search; a run begins with some more.
        held_out: Number of those levels.
        seed: Seed of all the run's random numbers.
    """

    rule: str = "lpg"
    levels: Levels = "all"
    score: str = "algorithmic-regret"
    strategy: str = META_GRADIENT
    updates: Updates = (10, 250)
    agents: int = 512
    episodes: int = 16
    hidden: int = 256
    init: str = ""
    rates: Multiples = (0.5, 10.0)
    agent: Settings = field(default_factory=dict)
    meta: MetaSettings = MetaSettings()
    antagonist: str = "a2c"
    antagonist_seeds: int = 2
    replay: ReplaySettings = ReplaySettings()
    learning_rate: float = 1e-4
    chunk: int = 4
    es: EsSettings = EsSettings(sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise")
    probe: int = 200
    held_out: int = 16
    seed: int = 0


_FEW = {"workers": 16}

PRESETS = {
    "demo": Preset(
        CurriculumSearch(
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
    "standard": Preset(
        CurriculumSearch(
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
    # What found rules as good as A2C in mazes too; see `lpg-clipped`.
    "actor-critic": Preset(
        CurriculumSearch(
            levels="mixed",
            score="random",
            updates=(20, 250),
            agents=32,
            init="lpg-actor-critic",
            agent=_FEW,
            meta=MetaSettings(updates=20, scale="clipped"),
            learning_rate=3e-4,
            chunk=8,
            probe=25,
            held_out=32,
        ),
        50.0,
    ),
    "paper": Preset(
        CurriculumSearch(
            es=EsSettings(population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise")
        ),
        60.0 * 24 * 7,
    ),
}


def start_of(config: CurriculumSearch) -> Objective:
    """Return the rule that a search starts from, with its agents' settings.

    Raises:
        RulesmithError: there is none of that name, or it is not of the kind that is searched.
    """
    if not config.init:
        arrays = start_arrays(config.rule, config.hidden, config.seed)
        return Objective("search", "lpg", arrays=arrays, agent=settings_of_agents("lpg", config.agent))
    found = load(config.init)
    timed = config.rule.startswith("ta-")
    if not isinstance(found, Objective) or found.kind != "lpg" or found.timed != timed:
        time = "knows" if timed else "does not know"
        raise RulesmithError(
            f"--init {config.init}: {config.rule} starts from an LPG net that {time} how much time is left"
        )
    return replace(found, agent={**found.agent, **config.agent})


@dataclass(frozen=True)
class LevelParts:
    """The parts of a run: the engine's three, and what measures the rule on levels kept out of the search."""

    strategy: EvolutionStrategy | MetaGradientDescent
    curriculum: LevelBuffer
    problem: Problem[Any, Any, Any, Any, Any]
    held_out: HeldOut


def parts_of(config: CurriculumSearch) -> LevelParts:
    """Return the parts of a run.

    Raises:
        RulesmithError: they do not go together, or one is out of range; in one line.
    """
    from ...meta.learners import hyper_range, learner_for
    from ...meta.meta_gradient import MetaGradient
    from ...meta.population import Population
    from ..problems.agents import AgentsProblem
    from ..problems.lifetimes import PairedProblem
    from ..problems.probed import Probed

    if config.rule not in GENERAL_RULES:
        raise unknown("rule", config.rule, GENERAL_RULES)
    low, high = config.updates
    if not 1 <= low <= high:
        raise RulesmithError(f"lives of {low} to {high} updates: give 1 <= LOW <= HIGH")
    check_range("rates", config.rates)
    env, score = environment_of_levels(config.levels), score_named(config.score)
    evolved = config.strategy != META_GRADIENT
    if score.figures and evolved:
        raise RulesmithError(f"--score {config.score} needs agents' critics, which only {META_GRADIENT} has")
    first = start_of(config)
    start = dict(first.arrays)
    learner = learner_for(env, first, first.agent)
    hypers = hyper_range(env, "lpg", None, config.rates, (0.0, 0.0))
    population = Population(learner, config.episodes)
    if evolved:
        if config.es.ranks != "pairwise" or config.es.population % 2:
            raise RulesmithError("on a curriculum, the members of an antithetic pair are ranked: an even population")
        strategy, slots = EvolutionStrategy(config.strategy, config.es, start), config.es.population // 2
    else:
        strategy, slots = MetaGradientDescent(start, config.learning_rate), config.agents
    whole = 1 if evolved else config.meta.updates
    curriculum = LevelBuffer(_draw_of(env), _edit_of(env), config.updates, slots, score, config.replay, whole)
    yardstick = _yardstick(config, env, score)
    if evolved:
        problem = PairedProblem(population, hypers, 1, yardstick)
    else:
        rates = (hypers.low, hypers.high)
        meta = MetaGradient(learner, rates, config.meta, config.chunk, figures=every_figure(), rule=start)
        problem = AgentsProblem(meta, slots, config.episodes, yardstick)
    held_out = HeldOut(env, population, hypers.middle(), high, config.held_out)

    def probe(candidates: Any) -> float:
        import jax

        last = (lambda x: np.asarray(x)[-1:]) if evolved else (lambda x: np.asarray(x)[None])
        return held_out(jax.tree.map(last, candidates))

    return LevelParts(strategy, curriculum, Probed(problem, probe, config.probe), held_out)


def environment_of_levels(levels: str | Environment) -> Environment:
    """Return the environment of a distribution of levels; one level (a file) is drawn again and again.

    Raises:
        RulesmithError: there is none of that name, or its levels are not the grid-world's.
    """
    if isinstance(levels, str) and levels.endswith(".toml"):
        env = make(levels)
        return replace(env, draw=lambda key: env.params)
    name = levels.name if isinstance(levels, Environment) else levels
    if levels is name and ":" not in name and name.removeprefix(PUBLIC) not in DISTRIBUTIONS:
        known = ", ".join(DISTRIBUTIONS)
        raise RulesmithError(
            f"no levels {name!r}{nearest(name, DISTRIBUTIONS)}; there are {known}, or module:environment"
        )
    env = make(levels if levels is not name or ":" in name else f"grid/{name}")
    if env.draw is None or not isinstance(env.params, Level):
        raise RulesmithError(
            f"{name} is no distribution of the grid-world's levels: an environment of them with `draw`"
        )
    board, objects = len(env.params.walls), len(env.params.rewards)
    if board > LARGEST or objects > MOST:
        raise RulesmithError(f"{name} has boards of {board} with {objects} objects; {LARGEST} and {MOST} at most")
    return env


def _draw_of(env: Environment) -> Callable[[Any, int], Any]:
    from ...meta.drawn_levels import draw_levels

    return lambda key, count: draw_levels(env, (count,), key)


def _edit_of(env: Environment) -> Callable[[Any, Any], Any] | None:
    if not is_tabular(env):
        return None
    import jax

    from ...envs.gridworld.dynamics import moves_of
    from ...envs.gridworld.editing import edited

    run = jax.jit(jax.vmap(functools.partial(edited, moves=moves_of(env))))
    return lambda key, levels: run(jax.random.split(key, len(levels.steps)), levels)


def _yardstick(config: CurriculumSearch, env: Environment, score: LevelScore) -> Any:
    """Return what the score needs to know of levels, or None."""
    from ...envs.gridworld.dynamics import moves_of
    from ..problems.yardsticks import optimal_yardstick

    if score.yardstick == "optimal":
        if not is_tabular(env):
            raise RulesmithError(
                f"--score {config.score}: {config.levels} has levels whose objects appear on random cells; the exact "
                "optimal return is known for tabular ones only"
            )
        return functools.partial(optimal_yardstick, moves=moves_of(env))
    return antagonist_of(config, env) if score.yardstick == "antagonist" else None


def antagonist_of(config: CurriculumSearch, env: Environment) -> Any:
    """Return the antagonist of a config.

    Raises:
        RulesmithError: there is no such objective, or it does not suit the environment.
    """
    from ...meta.drift_learner import DriftSettings
    from ...meta.learners import hyper_for, learner_for, settings_of
    from ...meta.population import Population
    from ..problems.yardsticks import Antagonist

    objective = rule_file.find_objective(config.antagonist)
    own = settings_of("lpg", config.agent)
    shared = {"workers": own.workers, "steps": own.steps}
    table = isinstance(env.observations, Discrete)
    population = Population(learner_for(env, objective, shared), config.episodes)
    rate = None
    agent = settings_of(objective.kind, objective.agent)
    if isinstance(agent, DriftSettings):
        rate = ANTAGONIST_RATES["table" if table else "network", agent.optimizer]
    most = max(config.held_out, config.es.population // 2 if config.strategy != META_GRADIENT else config.agents)
    return Antagonist(population, objective, hyper_for(env, objective.kind, rate, 0.01), config.antagonist_seeds, most)


def _check(config: CurriculumSearch) -> dict[str, Any]:
    parts_of(config)
    start = start_of(config)
    return {"agent": dict(start.agent), "init": start.digest()}


def _parts(config: CurriculumSearch, setup: Setup) -> Parts:
    import jax

    parts, first = parts_of(config), start_of(config)
    if setup.fact("init") not in (None, first.digest()):
        raise RulesmithError(f"{config.init} is another rule than when the run began")
    if setup.fact("held_out") is None:
        setup.status(
            f"measuring {config.antagonist} on {config.held_out} levels of {config.levels} kept out of the search"
        )
        antagonist, held = antagonist_of(config, environment_of_levels(config.levels)), parts.held_out
        unmeasured = np.full(config.held_out, np.nan, np.float32)
        found, _ = antagonist(held.levels, held.updates, np.isnan(unmeasured), unmeasured, jax.random.key(HELD_OUT_KEY))
        start = {name: x[None] for name, x in first.arrays.items()}
        figures = {"antagonist": held.share(found), "random": held(start, lived=False), "unit": held.unit}
        setup.keep("held_out", figures)
    words = (
        "{unit} on held-out levels: agents that learn nothing {random:.3f}, those of the antagonist {antagonist:.3f}"
    )
    if held_out := setup.fact("held_out"):
        setup.status(words.format(**held_out))
    count = len(jax.devices())
    setup.status(f"compiling agents' lives under {config.rule}, on {counted(count, 'device')}")
    return Parts(parts.strategy, parts.curriculum, parts.problem, arrays_of=parts.strategy.mean)


def _rule(store: LevelStore) -> Objective:
    config, (step, arrays), probes = store.fact("config"), store.arrays(), store.held_out()
    unit = (store.fact("held_out") or {}).get("unit")
    provenance = {"origin": "rulesmith", "method": f"{config['rule']} by {config['strategy']}"}
    provenance |= {"seed": config["seed"], "generations": step}
    provenance |= {"levels": names_of([config["levels"]])[0], "score": config["score"], "updates": config["updates"]}
    if config.get("init"):
        provenance["start"] = config["init"]
    return Objective(
        f"found-{config['rule']}",
        "lpg",
        arrays=arrays,
        description=f"{config['rule'].upper()} found by {config['strategy']}",
        agent=store.fact("agent") or settings_of_agents("lpg", config["agent"]),
        provenance=provenance,
        evidence={f"{unit} on held-out levels, in the search": probes[-1][1]} if probes else {},
    )


METHOD = Method(
    "curriculum",
    CurriculumSearch,
    PRESETS,
    LevelStore,
    "steps",
    _check,
    _parts,
    _rule,
    view="levels",
    resources=Devices,
    packages=("evosax",),
)
"""The method."""

__all__ = ["METHOD", "CurriculumSearch", "antagonist_of", "environment_of_levels", "parts_of"]
