"""Discovery of RL objectives: networks that train agents, found by evolution strategies over whole lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...envs.environment import Environment
from ...envs.registry import make
from ...programs import RulesmithError
from ...programs.errors import nearest
from ...programs.objective import Objective
from ..array_store import ArrayStore
from ..config_codec import names_of
from ..curricula.lifetimes import UniformLifetimes
from ..curricula.renewed import RenewedLifetimes
from ..method import Devices, Method, Parts, Preset, Setup
from ..options import Environments, Settings, Steps
from ..problems.return_scale import SMALL_AGENT, ReturnScale, check_horizon, scales_of
from ..starts import start_arrays
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import META_GRADIENT, MetaGradientDescent

LATEST = 20
"""Generations over which a search's figure is a mean: one alone is noise, since lifetimes are drawn anew."""
RULES = ("lpo", "ta-lpo", "lpg", "ta-lpg")


@dataclass(frozen=True)
class ObjectiveSearch:
    """A search over networks that train RL agents; it decides, with versions and hardware, every byte that is found.

    Attributes:
        rule: What is searched: lpo or ta-lpo (a learned drift in PPO's loop), lpg or ta-lpg (a learned update); the
            rules that begin with ta- know how much time is left.
        environments: Environments to train agents in: names (`rulesmith environments` lists them), import paths of a
            rulesmith.Environment, or Environment objects.
        horizon: Shortest and longest lifetime of an agent, in environment steps, drawn log-uniformly.
        strategy: How networks are proposed: open-es, pgpe, snes, sep-cma-es, cma-es; or meta-gradient, for lpg and
            ta-lpg.
        each: Lifetimes of a candidate in each environment, a generation.
        episodes: Whole episodes that an agent's last policy is judged by.
        hidden: Units of LPG's recurrent net.
        entropy: Weight of the agents' entropy bonus (drifts).
        agent: Settings of the agents that are not the usual ones, such as workers=16.
        es: The evolution strategy.
        agents: Agents that live at once, for meta-gradient.
        learning_rate: Learning rate of meta-gradients (Adam; the public setting, for far longer runs, is 1e-4).
        seed: Seed of all the run's random numbers.
    """

    rule: str = "ta-lpo"
    environments: Environments = ("CartPole-v1",)
    horizon: Steps = (1e5, 1e6)
    strategy: str = "open-es"
    each: int = 1
    episodes: int = 16
    hidden: int = 256
    entropy: float = 0.01
    agent: Settings = field(default_factory=dict)
    es: EsSettings = EsSettings()
    agents: int = 64
    learning_rate: float = 1e-3
    seed: int = 0

    @property
    def kind(self) -> str:
        """Kind of the rule: "drift" or "lpg"."""
        return "lpg" if self.rule.endswith("lpg") else "drift"


def _preset(drift: ObjectiveSearch, lpg: ObjectiveSearch, minutes: float) -> Preset[ObjectiveSearch]:
    return Preset(drift, minutes, {"lpg": lpg, "ta-lpg": lpg})


PRESETS = {
    "demo": _preset(
        ObjectiveSearch(
            environments=("SpaceInvaders-MinAtar",),
            horizon=(5e3, 2e4),
            agent=SMALL_AGENT,
            es=EsSettings(population=16, sigma=0.1, learning_rate=0.03),
        ),
        ObjectiveSearch(
            environments=("grid/small",),
            horizon=(1.28e4, 1.28e5),
            hidden=32,
            es=EsSettings(population=32, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
            agents=32,
        ),
        1.5,
    ),
    "standard": _preset(
        ObjectiveSearch(
            environments=("SpaceInvaders-MinAtar",),
            horizon=(1e4, 6e4),
            agent=SMALL_AGENT,
            es=EsSettings(population=32, sigma=0.03, learning_rate=0.01),
        ),
        ObjectiveSearch(
            environments=("grid/small",),
            horizon=(1.28e4, 3.2e5),
            each=2,
            hidden=64,
            es=EsSettings(population=64, sigma=0.1, learning_rate=0.01, ranks="pairwise"),
            agents=64,
        ),
        60.0,
    ),
    "paper": _preset(
        ObjectiveSearch(
            environments=("SpaceInvaders-MinAtar",),
            horizon=(1e7, 1e7),
            es=EsSettings(population=64, sigma=0.03, sigma_decay=0.99, learning_rate=0.03, learning_rate_decay=0.99),
        ),
        ObjectiveSearch(
            environments=("grid/all",),
            horizon=(1.28e4, 3.2e5),
            es=EsSettings(population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise"),
            agents=512,
        ),
        60.0 * 24 * 7,
    ),
}


def _strategy(
    config: ObjectiveSearch,
) -> tuple[list[Environment], list[tuple[int, int]], EvolutionStrategy | MetaGradientDescent]:
    """Return environments, their horizons in updates, and the strategy; raises for what cannot work."""
    from ...meta.learners import learner_for, settings_of, updates_for

    if config.rule not in RULES:
        hint = "; a drift as a program is found by `discover drift`" if config.rule == "symbolic" else ""
        raise RulesmithError(
            f"no kind of rule {config.rule!r}{nearest(config.rule, RULES)}; there are {', '.join(RULES)}{hint}"
        )
    if not config.environments:
        raise RulesmithError("--environments: name at least one environment; `rulesmith environments` lists them")
    low, high = config.horizon
    check_horizon(config.horizon)
    environments = [make(env) for env in config.environments]
    start = start_arrays(config.rule, config.hidden, config.seed)
    objective = Objective("search", config.kind, arrays=start)
    for env in environments:
        learner_for(env, objective, config.agent)
    settings = settings_of(config.kind, config.agent)
    horizons = [(updates_for(low, settings), updates_for(high, settings))] * len(environments)
    if config.strategy != META_GRADIENT:
        return environments, horizons, EvolutionStrategy(config.strategy, config.es, start)
    if config.kind == "drift":
        raise RulesmithError(
            f"{META_GRADIENT} is for lpg and ta-lpg; {config.rule} is searched by open-es and the like"
        )
    if len(environments) > 1:
        raise RulesmithError(f"{META_GRADIENT} takes one environment; its levels may be many, as grid/all's are")
    return environments, horizons, MetaGradientDescent(start, config.learning_rate)


def _check(config: ObjectiveSearch) -> dict[str, Any]:
    _strategy(config)
    return {}


def _problem(
    config: ObjectiveSearch,
    environments: Sequence[Environment],
    scales: Sequence[ReturnScale],
    horizons: Sequence[tuple[int, int]],
) -> tuple[Any, Any]:
    """Return the problem and the curriculum of a config."""
    from ...meta.learners import hyper_for, learner_for
    from ...meta.meta_gradient import MetaGradient, MetaSettings
    from ...meta.population import Population
    from ..problems.agents import AgentsProblem
    from ..problems.lifetimes import LifetimeProblem

    objective = Objective("search", config.kind, arrays=start_arrays(config.rule, config.hidden, config.seed))
    learners = [learner_for(env, objective, config.agent) for env in environments]
    rates = [scale.learning_rate if config.kind == "drift" else None for scale in scales]
    hypers = [hyper_for(e, config.kind, rate, config.entropy) for e, rate in zip(environments, rates, strict=True)]
    if config.strategy == META_GRADIENT:
        meta = MetaGradient(learners[0], hypers[0], MetaSettings())
        problem = AgentsProblem(meta, config.agents, normalized=scales[0].normalized)
        return problem, RenewedLifetimes(environments[0], horizons[0], config.agents)
    groups = config.es.population // 2 if config.es.ranks == "pairwise" else 1
    curriculum = UniformLifetimes(tuple(environments), tuple(horizons), groups, config.each)
    populations = [Population(learner, config.episodes) for learner in learners]
    return LifetimeProblem(populations, hypers, scales), curriculum


def _parts(config: ObjectiveSearch, setup: Setup) -> Parts:
    import jax

    environments, horizons, strategy = _strategy(config)
    measured = (config.kind, config.agent, config.episodes, config.entropy, config.horizon[1])
    scales = scales_of(environments, setup, *measured)
    problem, curriculum = _problem(config, environments, scales, horizons)
    setup.status(f"compiling whole lifetimes under {config.rule}, on {len(jax.devices())} devices")
    return Parts(strategy, curriculum, problem, arrays_of=strategy.mean)


def _rule(store: ArrayStore) -> Objective:
    config, (step, arrays) = store.fact("config"), store.arrays()
    latest = [metrics["center"] for number, metrics in store.steps() if number <= step][-LATEST:]
    provenance = {"origin": "rulesmith", "method": f"{config['rule']} by {config['strategy']}"}
    provenance |= {"seed": config["seed"], "generations": step}
    provenance |= {"environments": list(names_of(config["environments"])), "horizon": list(config["horizon"])}
    return Objective(
        f"found-{config['rule']}",
        "lpg" if config["rule"].endswith("lpg") else "drift",
        arrays=arrays,
        description=f"{config['rule'].upper()} found by {config['strategy']}",
        agent=config["agent"],
        provenance=provenance,
        evidence={f"normalized return, last {len(latest)} generations (0 random, 1 PPO)": sum(latest) / len(latest)},
    )


METHOD = Method(
    "objective",
    ObjectiveSearch,
    PRESETS,
    ArrayStore,
    "generations",
    _check,
    _parts,
    _rule,
    view="generations",
    resources=Devices,
    packages=("evosax", "gymnax", "brax"),
)
"""The method."""

__all__ = ["METHOD", "RULES", "ObjectiveSearch"]
