"""Symbolic search over drifts: programs worth the returns of the agents that they train."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...envs.registry import PACKAGES, make
from ...meta.learners import learner_for, settings_of, updates_for
from ...programs import RulesmithError, rule_file
from ...programs.parts import Programs
from ..curricula.fixed import Fixed
from ..method import Devices, Method, Parts, Preset, Setup
from ..options import Environments, Settings, Steps
from ..problems.drifts import ReturnScorer, drift_rule, start_drift
from ..problems.programs import ProgramProblem
from ..problems.return_scale import SMALL_AGENT, check_horizon, scales_of
from ..program_store import ProgramStore
from ..strategies.program_strategies import program_strategy


@dataclass(frozen=True)
class DriftSearch:
    """A search over drift programs in PPO's loop, by the returns of agents.

    Attributes:
        environments: Environments to train agents in: names (`rulesmith environments` lists them), import paths of a
            rulesmith.Environment, or Environment objects.
        horizon: Shortest and longest lifetime of an agent, in environment steps.
        strategy: How programs are proposed: evolution, random, constants, or an import path.
        init: The drift to start from, a published one or a rule file.
        each: Lifetimes of a program in each environment; the same for all programs.
        episodes: Whole episodes that an agent's last policy is judged by.
        entropy: Weight of the agents' entropy bonus.
        agent: Settings of the agents that are not the usual ones, such as workers=16.
        population: Programs in the population.
        tournament: Programs drawn for each child; the best becomes its parent.
        batch: Children that are bred from one snapshot of the population.
        restart: Programs between restarts.
        statements: The most statements of a program.
        seed: Seed of all the run's random numbers.
    """

    environments: Environments = ("SpaceInvaders-MinAtar",)
    horizon: Steps = (5e3, 2e4)
    strategy: str = "evolution"
    init: str = "ppo-clip"
    each: int = 4
    episodes: int = 16
    entropy: float = 0.01
    agent: Settings = field(default_factory=lambda: SMALL_AGENT)
    population: int = 100
    tournament: int = 8
    batch: int = 32
    restart: int = 20_000
    statements: int = 16
    seed: int = 0


PRESETS = {
    "demo": Preset(DriftSearch(), 1.5),
    "standard": Preset(DriftSearch(horizon=(1e4, 6e4)), 60.0),
    "paper": Preset(DriftSearch(horizon=(1e7, 1e7), agent={}), 60.0 * 24 * 7),
}


def _check(config: DriftSearch) -> dict[str, Any]:
    start = start_drift(config.init, config.statements)
    settings = settings_of("drift", config.agent)
    check_horizon(config.horizon)
    if not config.environments:
        raise RulesmithError("--environments: name at least one; `rulesmith environments` lists them")
    for env in map(make, config.environments):
        learner_for(env, rule_file.find_objective("ppo-clip"), config.agent)
    for steps in config.horizon:
        updates_for(steps, settings)
    program_strategy(config, start)
    return {"start": start.to_text(), "agent": dict(config.agent)}


def _parts(config: DriftSearch, setup: Setup) -> Parts:
    environments = [make(env) for env in config.environments]
    measured = ("drift", config.agent, config.episodes, config.entropy, config.horizon[1])
    scales = scales_of(environments, setup, *measured)
    scorer = ReturnScorer(
        environments,
        scales,
        horizon=config.horizon,
        each=config.each,
        episodes=config.episodes,
        entropy=config.entropy,
        agent=config.agent,
        batch=config.batch,
        seed=config.seed,
    )
    setup.status("compiling the interpreter of drifts, and searching")
    strategy = program_strategy(config, Programs.parse(setup.fact("start")))
    return Parts(strategy, Fixed(None), ProgramProblem(scorer))


MEASURE = "return at the end of a lifetime (0 random, 1 tuned PPO)"

METHOD = Method(
    "drift",
    DriftSearch,
    PRESETS,
    ProgramStore,
    "programs",
    _check,
    _parts,
    lambda store: drift_rule(store, MEASURE, -1.0),
    view="programs",
    resources=Devices,
    packages=PACKAGES,
)
"""The method."""

__all__ = ["METHOD", "DriftSearch"]
