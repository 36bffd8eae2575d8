"""Distillation of a learned drift: programs worth how near their slope is to the network's, where its agents went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...envs.environment import Environment
from ...envs.registry import PACKAGES, make
from ...meta.drift_learner import Hyper
from ...meta.learners import learner_for, updates_for
from ...meta.visited import Visited, visited
from ...programs import RulesmithError
from ...programs.objective import Objective
from ...programs.parts import Programs
from ..curricula.fixed import Fixed
from ..method import Devices, Method, Parts, Preset, Setup
from ..options import Environments, LearnedDrift, Steps
from ..problems.drifts import SlopeScorer, drift_rule, start_drift
from ..problems.programs import ProgramProblem
from ..problems.return_scale import check_horizon, scales_of
from ..program_store import ProgramStore
from ..runs import load
from ..strategies.program_strategies import program_strategy

SAMPLES = 4096
"""Ratios and advantages that are kept of each environment."""


@dataclass(frozen=True)
class Distillation:
    """A search for a readable program that does what a learned drift does.

    Attributes:
        rule: The learned drift: a published one, a rule file, a run of `discover objective`, or an Objective.
        environments: Where an agent is trained to see what the drift meets; by default the rule's own environments.
        horizon: Shortest and longest such training, in environment steps, of which the longest is made; 0:0 takes the
            rule's own.
        strategy: How programs are proposed: evolution, random, constants, or an import path.
        init: The drift to start from, a published one or a rule file.
        episodes: Whole episodes that PPO is measured by, whose learning rate the agent gets.
        entropy: Weight of the agent's entropy bonus.
        population: Programs in the population.
        tournament: Programs drawn for each child; the best becomes its parent.
        batch: Children that are bred from one snapshot of the population.
        restart: Programs between restarts.
        statements: The most statements of a program.
        seed: Seed of all the run's random numbers.
    """

    rule: LearnedDrift = ""
    environments: Environments = ()
    horizon: Steps = (0.0, 0.0)
    strategy: str = "evolution"
    init: str = "ppo-clip"
    episodes: int = 16
    entropy: float = 0.01
    population: int = 100
    tournament: int = 8
    batch: int = 32
    restart: int = 20_000
    statements: int = 16
    seed: int = 0


PRESETS = {"demo": Preset(Distillation(), 1.0)}


def _target(config: Distillation) -> tuple[Objective, tuple[str | Environment, ...], tuple[float, float]]:
    """Return the learned drift, and the environments and the horizon that are used."""
    if not config.rule:
        raise RulesmithError("name a learned drift to distil, such as ta-lpo-invaders, a rule file or a run")
    found = config.rule if isinstance(config.rule, Objective) else load(config.rule)
    if not isinstance(found, Objective) or found.kind != "drift" or found.program is not None:
        raise RulesmithError(
            f"{config.rule} is not a learned drift; `distill` takes one, a rule file or a run of lpo or ta-lpo"
        )
    environments = config.environments or tuple(found.provenance.get("environments", ()))
    horizon = config.horizon if any(config.horizon) else tuple(found.provenance.get("horizon", (5e3, 2e4)))
    if not environments:
        raise RulesmithError(f"{found.name} does not say where it was found: name --environments")
    check_horizon(horizon)  # pyright: ignore[reportArgumentType]
    return found, environments, horizon  # pyright: ignore[reportReturnType]


def _check(config: Distillation) -> dict[str, Any]:
    target, environments, horizon = _target(config)
    start = start_drift(config.init, config.statements)
    for env in map(make, environments):
        updates_for(horizon[1], learner_for(env, target))
    program_strategy(config, start)
    return {"start": start.to_text(), "agent": dict(target.agent), "target": target.digest()}


def _parts(config: Distillation, setup: Setup) -> Parts:
    target, names, horizon = _target(config)
    if setup.fact("target") != target.digest():
        raise RulesmithError(f"{target.name} is another drift than when the run began")
    environments = [make(env) for env in names]
    scales = scales_of(environments, setup, "drift", target.agent, config.episodes, config.entropy, horizon[1])
    setup.status(f"training an agent by {target.name}, to see which ratios and advantages it meets")
    seen = []
    for i, (env, scale) in enumerate(zip(environments, scales, strict=True)):
        learner = learner_for(env, target)
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        hyper = Hyper(scale.learning_rate, config.entropy)
        arrays = {name: jnp.asarray(array) for name, array in target.arrays.items()}
        updates = updates_for(horizon[1], learner)
        seen.append(visited(learner, arrays, hyper, env.params, updates, key, SAMPLES))
    scorer = SlopeScorer(target, Visited(*(np.concatenate(x) for x in zip(*seen, strict=True))))
    setup.status("compiling the interpreter of drifts, and searching")
    strategy = program_strategy(config, Programs.parse(setup.fact("start")))
    return Parts(strategy, Fixed(None), ProgramProblem(scorer))


MEASURE = "squared error of the slope, relative to the learned drift's square"

METHOD = Method(
    "distillation",
    Distillation,
    PRESETS,
    ProgramStore,
    "programs",
    _check,
    _parts,
    lambda store: drift_rule(store, MEASURE, 1.0),
    view="programs",
    resources=Devices,
    packages=PACKAGES,
)
"""The method."""

__all__ = ["METHOD", "Distillation"]
