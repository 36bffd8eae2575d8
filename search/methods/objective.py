"""Discovery of RL objectives: networks that train agents, found by evolution strategies over whole lifetimes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...envs.environment import Environment
from ...envs.registry import PACKAGES, make
from ...meta.meta_settings import MetaSettings
from ...programs import RulesmithError, rule_file
from ...programs.errors import nearest
from ...programs.objective import Objective
from ...programs.quantities import counted
from ..array_store import ArrayStore
from ..config_codec import names_of
from ..curricula.lifetimes import UniformLifetimes
from ..curricula.renewed import RenewedLifetimes
from ..method import Devices, Method, Parts, Preset, Setup
from ..options import Environments, Multiples, Settings, Steps, Weights
from ..problems.return_scale import SMALL_AGENT, ReturnScale, check_horizon, check_range, scales_of
from ..starts import settings_of_agents, start_arrays
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import META_GRADIENT, MetaGradientDescent

LATEST = 20
"""Generations over which a search's figure is a mean: one alone is noise, since lifetimes are drawn anew."""
RULES = ("lpo", "ta-lpo", "lpg", "ta-lpg", "numbers")


@dataclass(frozen=True)
class ObjectiveSearch:
    """A search over networks that train RL agents; it decides, with versions and hardware, every byte that is found.

    Attributes:
        rule: What is searched: lpo or ta-lpo (a learned drift in PPO's loop), lpg or ta-lpg (a learned update); the
            rules that begin with ta- know how much time is left. Or numbers: the hyperparameters of a drift program.
        environments: Environments to train agents in: names (`rulesmith environments` lists them), import paths of a
            rulesmith.Environment, or Environment objects.
        horizon: Shortest and longest lifetime of an agent, in environment steps, drawn log-uniformly.
        strategy: How networks are proposed: open-es, pgpe, snes, sep-cma-es, cma-es; or meta-gradient, for lpg and
            ta-lpg.
        each: Lifetimes of a candidate in each environment, a generation.
        episodes: Whole episodes that an agent's last policy is judged by.
        init: The drift program whose numbers are searched, a published one or a rule file; they are few, so that
            cma-es serves.
        hidden: Units of LPG's recurrent net.
        rates: Least and greatest learning rate of an agent, drawn log-uniformly for each life, as multiples of the
            usual one: tuned PPO's for drifts; for LPG 40 on tables of states, 0.003 on networks.
        entropy: Least and greatest weight of the agents' entropy bonus, drawn log-uniformly for each life (drifts).
        agent: Settings of the agents that are not the usual ones, such as workers=16.
        es: The evolution strategy.
        meta: How meta-gradients are taken.
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
    init: str = "shaped-ppo"
    hidden: int = 256
    rates: Multiples = (0.5, 2.0)
    entropy: Weights = (0.01, 0.01)
    agent: Settings = field(default_factory=dict)
    es: EsSettings = EsSettings()
    meta: MetaSettings = MetaSettings()
    agents: int = 64
    learning_rate: float = 1e-3
    seed: int = 0

    @property
    def kind(self) -> str:
        """Kind of the rule: "drift" or "lpg"."""
        return "lpg" if self.rule.endswith("lpg") else "drift"

    @property
    def agent_settings(self) -> dict[str, Any]:
        """Settings of the agents, those that are part of a rule among them."""
        return dict(self.agent) if self.rule == "numbers" else settings_of_agents(self.kind, self.agent)


def _preset(drift: ObjectiveSearch, lpg: ObjectiveSearch, minutes: float) -> Preset[ObjectiveSearch]:
    return Preset(drift, minutes, {"lpg": lpg, "ta-lpg": lpg})


SEVERAL = (
    "SpaceInvaders-MinAtar",
    "Breakout-MinAtar",
    "CartPole-v1",
    "Acrobot-v1",
    "Catch-bsuite",
    "grid/small",
)
"""Environments that differ, so that a drift does not suit one only; each candidate lives in all of them."""

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
            rates=(0.5, 10.0),
            es=EsSettings(population=32, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
            agents=32,
        ),
        1.5,
    ),
    "standard": _preset(
        ObjectiveSearch(
            environments=SEVERAL,
            horizon=(1e4, 6e4),
            entropy=(3e-3, 3e-2),
            agent=SMALL_AGENT,
            es=EsSettings(population=32, sigma=0.03, learning_rate=0.01),
        ),
        ObjectiveSearch(
            environments=("grid/small",),
            horizon=(1.28e4, 3.2e5),
            each=2,
            hidden=64,
            rates=(0.5, 10.0),
            es=EsSettings(population=64, sigma=0.1, learning_rate=0.01, ranks="pairwise"),
            agents=64,
        ),
        60.0,
    ),
    "paper": _preset(
        ObjectiveSearch(
            environments=("SpaceInvaders-MinAtar",),
            horizon=(1e7, 1e7),
            rates=(1.0, 1.0),
            es=EsSettings(population=64, sigma=0.03, sigma_decay=0.99, learning_rate=0.03, learning_rate_decay=0.99),
        ),
        ObjectiveSearch(
            environments=("grid/all",),
            horizon=(1.28e4, 3.2e5),
            rates=(0.5, 10.0),
            es=EsSettings(population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise"),
            agents=512,
        ),
        60.0 * 24 * 7,
    ),
}


def _searched(config: ObjectiveSearch) -> tuple[dict[str, np.ndarray], Objective, tuple[str, ...] | None]:
    """Return the parameters that a search starts from, the objective that has them, and their names if it is a program.

    Raises:
        RulesmithError: there is no such program, or it has no numbers.
    """
    if config.rule != "numbers":
        start = start_arrays(config.rule, config.hidden, config.seed)
        return start, Objective("search", config.kind, arrays=start), None
    found = rule_file.find_objective(config.init)
    numbers = dict(found.program.hyperparameters) if found.program else {}
    if not numbers:
        raise RulesmithError(f"--init {config.init}: give a drift program with hyperparameters, such as shaped-ppo")
    return {"numbers": np.array([*numbers.values()], np.float32)}, found, tuple(numbers)


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
    check_range("rates", config.rates)
    if any(config.entropy):  # 0 is no bonus
        check_range("entropy", config.entropy)
    environments = [make(env) for env in config.environments]
    start, objective, names = _searched(config)
    for env in environments:
        learner_for(env, objective, config.agent_settings, names)
    settings = settings_of(config.kind, config.agent_settings)
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
    from ...meta.learners import hyper_range, learner_for
    from ...meta.meta_gradient import MetaGradient
    from ...meta.population import Population
    from ..problems.agents import AgentsProblem
    from ..problems.lifetimes import LifetimeProblem

    start, objective, names = _searched(config)
    learners = [learner_for(env, objective, config.agent_settings, names) for env in environments]
    usual = [scale.learning_rate if config.kind == "drift" else None for scale in scales]
    hypers = [
        hyper_range(env, config.kind, rate, config.rates, config.entropy)
        for env, rate in zip(environments, usual, strict=True)
    ]
    if config.strategy == META_GRADIENT:
        rates = (hypers[0].low, hypers[0].high)
        meta = MetaGradient(learners[0], rates, config.meta, rule=start)
        problem = AgentsProblem(meta, config.agents, normalized=scales[0].normalized)
        return problem, RenewedLifetimes(environments[0], horizons[0], config.agents)
    curriculum = UniformLifetimes(tuple(environments), tuple(horizons), config.es.groups, config.each)
    populations = [Population(learner, config.episodes) for learner in learners]
    return LifetimeProblem(populations, hypers, scales), curriculum


def _parts(config: ObjectiveSearch, setup: Setup) -> Parts:
    import jax

    environments, horizons, strategy = _strategy(config)
    weight = math.sqrt(config.entropy[0] * config.entropy[1])
    measured = (config.kind, config.agent, config.episodes, weight, config.horizon[1])
    scales = scales_of(environments, setup, *measured)
    problem, curriculum = _problem(config, environments, scales, horizons)
    count = len(jax.devices())
    setup.status(f"compiling whole lifetimes under {config.rule}, on {counted(count, 'device')}")
    return Parts(strategy, curriculum, problem, arrays_of=strategy.mean)


def _rule(store: ArrayStore) -> Objective:
    config, (step, arrays) = store.fact("config"), store.arrays()
    latest = [metrics["center"] for number, metrics in store.steps() if number <= step][-LATEST:]
    provenance = {"origin": "rulesmith", "method": f"{config['rule']} by {config['strategy']}"}
    provenance |= {"seed": config["seed"], "generations": step}
    provenance |= {"environments": list(names_of(config["environments"])), "horizon": list(config["horizon"])}
    evidence = {
        f"normalized return, last {counted(len(latest), 'generation')} (0 random, 1 PPO)": sum(latest) / len(latest)
    }
    if config["rule"] == "numbers":
        found = rule_file.find_objective(config["init"])
        assert found.program is not None
        names = (name for name, _ in found.program.hyperparameters)
        numbers = dict(zip(names, arrays["numbers"].tolist(), strict=True))
        return replace(
            found,
            name="found-numbers",
            program=found.program.with_hyperparameters(numbers),
            description=f"{found.name}, its numbers found by {config['strategy']}",
            agent={**found.agent, **config["agent"]},
            provenance={**provenance, "start": config["init"]},
            evidence=evidence,
        )
    kind = "lpg" if config["rule"].endswith("lpg") else "drift"
    return Objective(
        f"found-{config['rule']}",
        kind,
        arrays=arrays,
        description=f"{config['rule'].upper()} found by {config['strategy']}",
        agent=settings_of_agents(kind, config["agent"]),
        provenance=provenance,
        evidence=evidence,
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
    packages=("evosax", *PACKAGES),
)
"""The method."""

__all__ = ["METHOD", "RULES", "ObjectiveSearch"]
