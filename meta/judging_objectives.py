"""One objective judged on one task (an environment and a horizon) by tuned agents that it trains.

The agents' learning rate and entropy bonus are tuned by the mean return of a few lifetimes; at the best setting, more
lifetimes are lived, on keys and levels that the tuning has not seen. The claim is the return of whole episodes by the
policy at the end of each lifetime.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np

from ..envs.environment import Discrete, Environment
from ..programs.objective import Objective
from .drawn_levels import draw_levels
from .drift_learner import Hyper
from .judging import Verdict, plain, plain_list
from .learners import settings_of, updates_for
from .lifetime import Life
from .lpg_learner import PUBLISHED_FORM
from .population import Population, Trials
from .tuning import TUNING_SEEDS, settings

EPISODES = 32
"""Episodes by which the policy at the end of a lifetime is judged."""
TUNING_KEY, CLAIM_KEY = 1_000, 2_000
"""Seeds of the keys of lifetimes; searches use other seeds."""

AGENT_RANGES = {
    ("drift", "network"): {"learning_rate": (3e-4, 3e-2), "entropy": (1e-3, 1e-1)},
    ("drift", "table"): {"learning_rate": (1e-3, 3e-1), "entropy": (1e-3, 1e-1)},
    ("lpg", "network"): {"learning_rate": (3e-4, 3e-2)},
    ("lpg", "table"): {"learning_rate": (1.0, 300.0)},
}
"""What is tuned, by kind of rule and of agent."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveVerdict(Verdict):
    """An objective on a task: its `results` are returns at the end of lifetimes, its `curve` those on the way.

    Attributes:
        horizon: length of a lifetime in environment steps.
        untrained: mean return of agents of the same keys that have learned nothing.
        figures: other figures by name: for each, the means in each twentieth of the lifetime.
    """

    horizon: float
    untrained: float
    figures: dict[str, list[float | None]]


def agent_ranges(kind: str, env: Environment) -> Mapping[str, tuple[float, float]]:
    """Return what is tuned of the agents of a kind of rule in an environment, the same for all rules of the kind."""
    return AGENT_RANGES[kind, "table" if isinstance(env.observations, Discrete) else "network"]


def agent_settings(rule: Objective, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a rule's agents, with those shared settings that its kind of agent has.

    The shared settings override those of a network, but not those of a program, which define it (A2C's one epoch), nor
    those of a network that are part of it.
    """
    known = {field.name for field in fields(settings_of(rule.kind, {}))} - set(PUBLISHED_FORM)
    common = {name: value for name, value in shared.items() if name in known}
    return {**common, **rule.agent} if rule.program is not None else {**rule.agent, **common}


def judge_objective(
    rule: Objective, run: Population, task: str, horizon: float, trials: int, seeds: int
) -> ObjectiveVerdict:
    """Tune an objective's agents on a task, and run lifetimes at the best setting.

    Args:
        rule: the objective.
        run: runs lifetimes of its agents in the environment, judged by `EPISODES` episodes.
        task: what the environment is called.
        horizon: length of a lifetime in environment steps.
        trials: settings tried, with `TUNING_SEEDS` lifetimes each.
        seeds: lifetimes at the best setting.

    Raises:
        RulesmithError: the horizon is shorter than one update.
    """
    env = run.learner.env
    updates = updates_for(horizon, run.learner)
    arrays = dict(rule.arrays) or {"none": np.zeros(1, np.float32)}
    candidates = {name: array[None] for name, array in arrays.items()}
    tried = settings(agent_ranges(rule.kind, env), trials)

    places = max(trials * TUNING_SEEDS, seeds)  # all calls have as many, so that one compiled function serves them

    def live(at: list[dict[str, float]], count: int, seed: int, length: int) -> Life:
        """Return `count` lives at each setting; those of different settings share keys and levels."""
        _, level, lifetime = jax.random.split(jax.random.key(seed), 3)
        lives = len(at) * count
        unused = (0, places - lives)
        which = np.pad(np.tile(np.arange(count), len(at)), unused)
        rate, entropy = (
            np.pad(np.repeat(np.array([setting.get(name, 0.0) for setting in at], np.float32), count), unused)
            for name in ("learning_rate", "entropy")
        )
        lived = run(
            candidates,
            Trials(
                np.where(np.arange(places) < lives, 0, -1).astype(np.int32),  # -1: this place is skipped
                np.where(np.arange(places) < lives, length, 0).astype(np.int32),
                jax.random.split(lifetime, count)[which],
                jax.tree.map(lambda x: x[which], draw_levels(env, (count,), level)),
                Hyper(rate, entropy) if rule.kind == "drift" else rate,
            ),
        )
        return jax.tree.map(lambda x: x[:lives], lived)

    means = live(tried, TUNING_SEEDS, TUNING_KEY, updates).final.reshape(trials, TUNING_SEEDS).mean(axis=1)
    best = tried[int(np.argmax(np.where(np.isfinite(means), means, -np.inf)))]
    lives = live([best], seeds, CLAIM_KEY, updates)
    untrained = live([best], seeds, CLAIM_KEY, 0)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # parts of a life without any episode
        curve = [np.nanmean(part) for part in lives.returns.T]
        figures = {name: plain_list(np.nanmean(values, axis=0)) for name, values in lives.figures.items()}
    return ObjectiveVerdict(
        task=task,
        setting=best,
        tuning=[[setting, plain(mean)] for setting, mean in zip(tried, means, strict=True)],
        results=plain_list(lives.final),
        curve=plain_list(curve),
        horizon=float(horizon),
        untrained=float(np.mean(untrained.final)),
        figures=figures,
    )
