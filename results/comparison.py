"""`rulesmith compare` for objectives: agents trained by each rule, equally tuned, against tuned PPO.

On each task (an environment and a horizon) every rule gets the same number of quasi-random settings of the agents'
learning rate and entropy bonus, judged by the mean return of a few seeds; its best setting is then run on seeds that
the tuning has not seen. Scores are returns at the end of lifetimes, 0 for a policy that learned nothing, 1 for tuned
PPO's mean.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from ..envs.environment import Discrete, Environment
from ..envs.registry import make
from ..meta.drift_learner import DriftSettings, Hyper
from ..meta.learners import learner_for, settings_of, updates_for
from ..meta.lpg_learner import LpgSettings
from ..meta.population import Population, Trials
from ..programs import RulesmithError
from ..programs.errors import nearest
from ..programs.objective import Objective
from ..search.curricula.lifetimes import draw_lifetimes
from . import statistics

BASELINE = "ppo-clip"
SETTINGS = {field.name for made in (DriftSettings, LpgSettings) for field in fields(made)}
"""Settings of any kind of agent."""
TUNING_SEEDS = 3
EPISODES = 32
"""Episodes that a last policy is judged by."""

RANGES = {
    ("drift", "network"): {"learning_rate": (3e-4, 3e-2), "entropy": (1e-3, 1e-1)},
    ("drift", "table"): {"learning_rate": (1e-3, 3e-1), "entropy": (1e-3, 1e-1)},
    ("lpg", "network"): {"learning_rate": (3e-4, 3e-2)},
    ("lpg", "table"): {"learning_rate": (1.0, 300.0)},
}
"""What is tuned, by kind of rule and of agent; on a logarithmic scale."""


@dataclass(frozen=True)
class Outcome:
    """A rule on a task.

    Attributes:
        setting: the one that was tuned.
        returns: at the end of lifetimes, by seed; NaN where the agent diverged.
        curve: mean return of the episodes in each twentieth of the lifetime.
        figures: means of entropy and size of updates, by twentieth.
    """

    setting: dict[str, float]
    returns: Float[np.ndarray, " seeds"]
    curve: list[float]
    figures: dict[str, list[float]]


@dataclass(frozen=True)
class Comparison:
    """Rules on tasks.

    Attributes:
        tasks: (environment, horizon in steps).
        outcomes: by rule, one for each task.
        random: return of a policy that learned nothing, by task.
        agent: settings that all agents share.
        trials: settings tried of each rule on each task.
        seeds: lifetimes of each at its best.
    """

    tasks: tuple[tuple[str, float], ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]
    random: tuple[float, ...]
    agent: Mapping[str, Any]
    trials: int
    seeds: int

    def scores(self, rule: str) -> Float[np.ndarray, "tasks seeds"]:
        """Return a rule's normalized returns; a diverged agent scores as one that learned nothing."""
        rows = []
        for outcome, base, low in zip(self.outcomes[rule], self.outcomes[BASELINE], self.random, strict=True):
            span = float(np.nanmean(base.returns)) - low
            rows.append((np.nan_to_num(outcome.returns, nan=low) - low) / (span if abs(span) > 1e-6 else 1e-6))
        return np.array(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, the statistics with it."""
        rules = {}
        for name, outcomes in self.outcomes.items():
            scores = self.scores(name)
            rules[name] = {
                "interquartile_mean": statistics.aggregate(scores)._asdict(),
                "improvement_over_ppo": statistics.improvement(scores, self.scores(BASELINE))._asdict(),
                "tasks": [
                    {
                        "environment": env,
                        "horizon": horizon,
                        "setting": outcome.setting,
                        "returns": [None if math.isnan(r) else r for r in outcome.returns.tolist()],
                        "scores": row.tolist(),
                        "curve": [None if math.isnan(r) else r for r in outcome.curve],
                        "figures": {k: [None if math.isnan(x) else x for x in v] for k, v in outcome.figures.items()},
                    }
                    for (env, horizon), outcome, row in zip(self.tasks, outcomes, scores, strict=True)
                ],
            }
        return {
            "baseline": BASELINE,
            "random": list(self.random),
            "agent": dict(self.agent),
            "trials": self.trials,
            "seeds": self.seeds,
            "rules": rules,
        }


def settings(kind: str, env: Environment, trials: int) -> list[dict[str, float]]:
    """Return the settings tried: points of a Halton sequence, the same for all rules of a kind."""
    ranges = RANGES[kind, "table" if isinstance(env.observations, Discrete) else "network"]
    points = qmc.Halton(len(ranges), scramble=False).random(trials + 1)[1:]  # its first point is the corner
    return [
        {n: float(f"{low * (high / low) ** x:.4g}") for (n, (low, high)), x in zip(ranges.items(), point, strict=True)}
        for point in points
    ]


def compare(
    rules: Sequence[Objective],
    environments: Sequence[str],
    horizons: Sequence[float],
    *,
    seeds: int,
    trials: int,
    agent: Mapping[str, Any],
    status: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Train agents by each rule on each environment and horizon.

    Args:
        rules: with different names; `BASELINE` among them.
        environments: names.
        horizons: in environment steps.
        seeds: lifetimes of each rule at its best setting.
        trials: settings tried of each rule on each task.
        agent: settings of all agents.
        status: told each outcome.

    Raises:
        RulesmithError: a rule, environment, horizon or setting is not right; in one line.
    """
    if seeds < 2 or trials < 1:
        raise RulesmithError("--seeds must be at least 2 (an interval needs them), --trials at least 1")
    for name in agent:
        if name not in SETTINGS:
            raise RulesmithError(f"agents have no setting {name!r}{nearest(name, SETTINGS)}")
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        raise RulesmithError(f"two rules are called {max(names, key=names.count)!r}")
    made = [make(name) for name in environments]
    for rule in rules:
        for horizon in horizons:
            updates_for(horizon, settings_of(rule.kind, _agent(rule, agent)))
    tasks = tuple((name, horizon) for name in environments for horizon in horizons)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    random: list[float] = []
    for name, env in zip(environments, made, strict=True):
        for rule in rules:
            run = Population(learner_for(env, rule, _agent(rule, agent)), EPISODES)
            for horizon in horizons:
                outcome, floor = _outcome(run, rule, env, horizon, seeds, trials)
                outcomes[rule.name].append(outcome)
                if rule.name == BASELINE:
                    random.append(floor)
                setting = ", ".join(f"{key} {value:g}" for key, value in outcome.setting.items())
                mean = float(np.nanmean(outcome.returns))
                status(f"{name}, {horizon:,.0f} steps: {rule.name} {mean:.2f} ({setting})")
    return Comparison(
        tasks, {name: tuple(found) for name, found in outcomes.items()}, tuple(random), agent, trials, seeds
    )


def _agent(rule: Objective, agent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shared settings that rules of this kind have; what makes a rule (A2C's one epoch) stays its own."""
    known = {field.name for field in fields(settings_of(rule.kind, {}))}
    shared = {name: value for name, value in agent.items() if name in known}
    return {**shared, **rule.agent} if rule.program is not None else {**rule.agent, **shared}


def _outcome(
    run: Population, rule: Objective, env: Environment, horizon: float, seeds: int, trials: int
) -> tuple[Outcome, float]:
    """Return a rule's outcome on a task, and the return of agents that learned nothing."""
    learner = run.learner
    updates = updates_for(horizon, learner)
    arrays = dict(rule.arrays) or {"none": np.zeros(1, np.float32)}
    candidates = {name: array[None] for name, array in arrays.items()}
    tried = settings(rule.kind, env, trials)

    def lives(settings: list[dict[str, float]], count: int, salt: int, length: int) -> Any:
        drawn = draw_lifetimes(env, (max(length, 1), max(length, 1)), (1, count), jax.random.key(salt))
        seed = np.tile(np.arange(count), len(settings))
        hypers = [s for s in settings for _ in range(count)]
        rate = np.array([s["learning_rate"] for s in hypers], np.float32)
        entropy = np.array([s.get("entropy", 0.0) for s in hypers], np.float32)
        return run(
            candidates,
            Trials(
                np.zeros(len(seed), np.int32),
                np.full(len(seed), length, np.int32),
                drawn.keys[0][seed],
                jax.tree.map(lambda x: x[0][seed], drawn.params),
                Hyper(rate, entropy) if rule.kind == "drift" else rate,
            ),
        )

    means = lives(tried, TUNING_SEEDS, 1_000, updates).final.reshape(trials, TUNING_SEEDS).mean(axis=1)
    best = tried[int(np.nanargmax(means))] if np.isfinite(means).any() else tried[0]
    found = lives([best], seeds, 2_000, updates)
    floor = float(np.mean(lives([best], seeds, 2_000, 0).final))
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # parts of a life without any episode
        curve = [float(np.nanmean(c)) if np.isfinite(c).any() else math.nan for c in found.returns.T]
        figures = {name: np.nanmean(x, axis=0).tolist() for name, x in found.figures.items()}
    return Outcome(best, np.asarray(found.final, float), curve, figures), floor
