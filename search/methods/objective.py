"""Discovery of RL objectives: networks that train agents, found by evolution strategies over whole lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...envs.environment import Environment
from ...envs.registry import make
from ...programs import RulesmithError
from ...programs.errors import nearest
from ...programs.objective import Objective, Shapes
from ..array_store import ArrayStore
from ..engine import Curriculum, Observer, Problem
from ..executors import cache_compilations
from ..facts import facts_of
from ..problems.return_scale import SMALL_AGENT, ReturnScale, measure_scale
from ..session import run_with_checkpoints
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import MetaGradientDescent

META_RATE = 1e-3
"""Learning rate of meta-gradients by default (the public setting, for far longer runs, is 1e-4)."""
RULES = ("lpo", "ta-lpo", "lpg", "ta-lpg")
META_GRADIENT = "meta-gradient"
"""The strategy that is told gradients; the others are `evolution_strategies.KINDS`."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """What a run is; it decides, with versions and hardware, every byte that the run finds.

    Attributes:
        rule: one of `RULES`.
        environments: names; see `envs.environment.make`.
        horizon: shortest and longest lifetime, in environment steps, drawn log-uniformly.
        each: lifetimes of a candidate in each environment, a generation.
        episodes: whole episodes that an agent's last policy is judged by.
        hidden: units of LPG's recurrent net.
        entropy: weight of the agents' entropy bonus (drifts).
        agent: settings of the agents that are not the usual ones.
        es: the evolution strategy.
        seed: of the run.
    """

    rule: str = "ta-lpo"
    environments: tuple[str, ...] = ("CartPole-v1",)
    horizon: tuple[float, float] = (1e5, 1e6)
    each: int = 1
    episodes: int = 16
    hidden: int = 256
    entropy: float = 0.01
    agent: Mapping[str, Any] = field(default_factory=dict)
    es: EsSettings = EsSettings()
    seed: int = 0

    @property
    def kind(self) -> str:
        """Of the rule: "drift" or "lpg"."""
        return "lpg" if self.rule.endswith("lpg") else "drift"

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self.es.name

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and the strategy's name, as plain data."""
        return {**asdict(self), "strategy": self.strategy}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ObjectiveConfig:
        """Return what `to_dict` was called on."""
        known = {name: value for name, value in fields.items() if name != "strategy"}
        known |= {"environments": tuple(known["environments"]), "horizon": tuple(known["horizon"])}
        return cls(**{**known, "es": EsSettings(**known["es"])})


PRESETS: dict[str, dict[str, tuple[ObjectiveConfig, float]]] = {
    "demo": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(5e3, 2e4),
                agent=SMALL_AGENT,
                es=EsSettings(population=16, sigma=0.1, learning_rate=0.03),
            ),
            1.5,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/small",),
                horizon=(1.28e4, 1.28e5),
                hidden=32,
                es=EsSettings(population=32, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
            ),
            1.5,
        ),
    },
    "standard": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(1e4, 6e4),
                agent=SMALL_AGENT,
                es=EsSettings(population=32, sigma=0.03, learning_rate=0.01),
            ),
            60.0,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/small",),
                horizon=(1.28e4, 3.2e5),
                each=2,
                hidden=64,
                es=EsSettings(population=64, sigma=0.1, learning_rate=0.01, ranks="pairwise"),
            ),
            60.0,
        ),
    },
    "paper": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(1e7, 1e7),
                es=EsSettings(
                    population=64, sigma=0.03, sigma_decay=0.99, learning_rate=0.03, learning_rate_decay=0.99
                ),
            ),
            60.0 * 24 * 7,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/all",),
                horizon=(1.28e4, 3.2e5),
                es=EsSettings(
                    population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise"
                ),
            ),
            60.0 * 24 * 7,
        ),
    },
}
"""By name and kind of rule: the config, and the minutes that a run takes if nothing else bounds it."""


def preset(name: str, rule: str) -> tuple[ObjectiveConfig, float]:
    """Return a preset's config for a rule, and its minutes.

    Raises:
        RulesmithError: there is no such preset or rule.
    """
    if name not in PRESETS:
        raise RulesmithError(f"no preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}")
    if rule not in RULES:
        raise RulesmithError(f"no kind of rule {rule!r}{nearest(rule, RULES)}; there are {', '.join(RULES)}")
    config, minutes = PRESETS[name]["lpg" if rule.endswith("lpg") else "drift"]
    return replace(config, rule=rule), minutes


def start_arrays(rule: str, hidden: int, seed: int) -> dict[str, np.ndarray]:
    """Return the parameters that a search starts from: PPO's drift, or a random recurrent net of `hidden` units."""
    timed = rule.startswith("ta-")
    if rule.endswith("lpg"):
        return Shapes.lpg(timed=timed, hidden=hidden).draw(seed, 1.0)
    # A small hidden layer under a zero output: PPO at first, with a gradient to both layers.
    arrays = Shapes.drift(timed=timed).draw(seed, 1.0)
    return {**arrays, "output": np.zeros_like(arrays["output"])}


def discover(
    config: ObjectiveConfig,
    directory: Path,
    *,
    generations: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a search over objectives, or go on with one.

    Args:
        config: what to search; of a resumed run, its own is used.
        directory: of the run.
        generations: stop after so many, counted from the start of the run.
        minutes: stop after so long, counted from now, at the end of a generation.
        resume: go on with the run in `directory`; other hosts than the first need its config in any case.
        observers: see each generation, after the store.
        status: told what is going on before the first.

    Raises:
        RulesmithError: the directory, environments, horizons or settings are not right; in one line.
    """
    import jax

    if jax.process_count() > 1 and minutes is not None:
        raise RulesmithError("several hosts stop together: bound the run by --generations, not by --minutes")
    if jax.process_index() > 0:
        _parts(config)
        _run(config, None, generations, minutes, (), lambda _: None)
        return
    if resume:
        with ArrayStore.open(directory, write=True) as store:
            store.require("objective")
            config = ObjectiveConfig.from_dict(store.fact("config"))
            _run(config, store, generations, minutes, observers, status)
        return
    _parts(config)
    facts = facts_of("objective", config.to_dict(), ("evosax", "gymnax", "brax"), keeps="arrays")
    with ArrayStore.create(directory, facts) as store:
        _run(config, store, generations, minutes, observers, status)


def check_horizon(horizon: tuple[float, float]) -> None:
    """Raise RulesmithError unless a horizon is a range of positive numbers."""
    low, high = horizon
    if not 0 < low <= high:
        raise RulesmithError(f"horizon {low:g}:{high:g}: give LOW:HIGH in environment steps, 0 < LOW <= HIGH")


def _parts(
    config: ObjectiveConfig,
) -> tuple[list[Environment], list[tuple[int, int]], EvolutionStrategy | MetaGradientDescent]:
    """Return environments, their horizons in updates, and the strategy; raises for what cannot work."""
    from ...meta.learners import learner_for, settings_of, updates_for

    if not config.environments:
        raise RulesmithError("--env: name at least one environment; `rulesmith environments` lists them")
    low, high = config.horizon
    check_horizon(config.horizon)
    if config.es.population < 1 or config.seed < 0:
        raise RulesmithError(f"population {config.es.population}, seed {config.seed}: above 0, and not below 0")
    environments = [make(name) for name in config.environments]
    start = start_arrays(config.rule, config.hidden, config.seed)
    objective = Objective("search", config.kind, arrays=start)
    for env in environments:
        learner_for(env, objective, config.agent)
    settings = settings_of(config.kind, config.agent)
    horizons = [(updates_for(low, settings), updates_for(high, settings))] * len(environments)
    if config.strategy != META_GRADIENT:
        return environments, horizons, EvolutionStrategy(config.es, start)
    if config.kind == "drift":
        raise RulesmithError(
            f"{META_GRADIENT} is for lpg and ta-lpg; {config.rule} is searched by open-es and the like"
        )
    if len(environments) > 1:
        raise RulesmithError(f"{META_GRADIENT} takes one environment; its levels may be many, as grid/all's are")
    return environments, horizons, MetaGradientDescent(start, config.es.learning_rate)


def _problem(
    config: ObjectiveConfig,
    environments: Sequence[Environment],
    references: Sequence[ReturnScale],
    horizons: Sequence[tuple[int, int]],
) -> tuple[Problem, Curriculum]:
    """Return the problem and the curriculum of a config."""
    from ...meta.learners import hyper_for, learner_for
    from ...meta.meta_gradient import MetaGradient, MetaSettings
    from ...meta.population import Population
    from ..curricula.lifetimes import UniformLifetimes
    from ..curricula.renewed import RenewedLifetimes
    from ..problems.agents import AgentsProblem
    from ..problems.lifetimes import LifetimeProblem

    objective = Objective("search", config.kind, arrays=start_arrays(config.rule, config.hidden, config.seed))
    learners = [learner_for(env, objective, config.agent) for env in environments]
    rates = [reference.learning_rate if config.kind == "drift" else None for reference in references]
    hypers = [hyper_for(e, config.kind, rate, config.entropy) for e, rate in zip(environments, rates, strict=True)]
    if config.strategy == META_GRADIENT:
        agents = config.es.population  # that live at once
        meta = MetaGradient(learners[0], hypers[0], MetaSettings())
        problem = AgentsProblem(meta, agents, normalized=references[0].normalized)
        return problem, RenewedLifetimes(environments[0], horizons[0], agents)
    groups = config.es.population // 2 if config.es.ranks == "pairwise" else 1
    curriculum = UniformLifetimes(tuple(environments), tuple(horizons), groups, config.each)
    populations = [Population(learner, config.episodes) for learner in learners]
    return LifetimeProblem(populations, hypers, references), curriculum


def _run(
    config: ObjectiveConfig,
    store: ArrayStore | None,
    generations: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    status: Callable[[str], None],
) -> None:
    """Run a search; of several hosts the first has the store, and all follow its states."""
    import jax

    from ...meta.population import from_first_host

    cache_compilations()
    environments, horizons, strategy = _parts(config)
    key = jax.random.key(config.seed)
    kept = (store.fact("reference") if store else None) or {}
    unknown = (np.nan, np.nan, np.nan)
    known = [tuple(kept[name].values()) if name in kept else unknown for name in config.environments]
    references = []
    for name, env, row in zip(config.environments, environments, from_first_host(np.array(known)), strict=True):
        if np.isnan(row).any():
            status(f"compiling {name} and measuring random policies and tuned PPO there")
            measured = (config.kind, config.agent, config.episodes, config.entropy, config.horizon[1])
            row = astuple(measure_scale(env, *measured))
        references.append(ReturnScale(*map(float, row)))
        kept[name] = asdict(references[-1])
        line = "{random:.2f}, PPO {ppo:.2f} (learning rate {learning_rate:g})".format(**kept[name])
        status(f"{name}: return of random policies {line}")
        if store:
            store.add_fact("reference", kept)
    problem, curriculum = _problem(config, environments, references, horizons)
    if store:
        store.rule_of = strategy.mean
    status(f"compiling whole lifetimes under {config.rule}, on {len(jax.devices())} devices")
    run_with_checkpoints(
        store, strategy, curriculum, problem, key=key, bound=generations, minutes=minutes, observers=observers
    )


__all__ = ["PRESETS", "RULES", "ObjectiveConfig", "discover", "preset"]
