"""One objective judged on one task (an environment and a horizon) by tuned agents that it trains.

The agents' learning rate and entropy bonus are tuned by the mean return of a few lifetimes, over ranges that are
widened where the best lies at their ends; at the best setting, more lifetimes are lived, on keys and levels that the
tuning has not seen. The claim is the return of whole episodes by the policy at the end of each lifetime.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ..envs.environment import Discrete
from ..programs.objective import Objective
from .drawn_levels import draw_levels
from .drift_learner import DriftLearner, Hyper
from .judging import Verdict, plain, plain_list
from .learners import PARTS_OF_RULES, settings_of, updates_for
from .lifetime import Learner, Life
from .population import Population, Trials
from .tuning import settings, successive_halving

EPISODES = 32
"""Episodes by which the policy at the end of a lifetime is judged."""
TUNING_KEY, CLAIM_KEY = 1_000, 2_000
"""Seeds of the keys of lifetimes; searches use other seeds."""

ROUNDS = ((1, 2), (2, 2), (4, 4))
"""Successive halving over lives: of so many settings one is tried (the best so far), in so many more lives each."""
WIDENINGS, WIDER = 3, 0.5
"""How often a range is widened where the best lies at its end, and by what share of its length, on its scale."""

AGENT_RANGES = {
    ("drift", "network", "adam"): {"learning_rate": (3e-4, 3e-2), "entropy": (1e-3, 1e-1)},
    ("drift", "table", "adam"): {"learning_rate": (1e-3, 1.0), "entropy": (1e-3, 1e-1)},
    ("drift", "network", "sgd"): {"learning_rate": (1e-3, 1.0), "entropy": (1e-3, 1e-1)},
    ("drift", "table", "sgd"): {"learning_rate": (1.0, 1e3), "entropy": (1e-3, 1e-1)},
    ("lpg", "network", "adam"): {"learning_rate": (3e-4, 3e-2)},
    ("lpg", "table", "sgd"): {"learning_rate": (10.0, 3e3)},
}
"""What is tuned at first, by kind of rule, of agent and of its gradient steps."""

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class ObjectiveVerdict(Verdict):
    """An objective on a task: its `results` are returns at the end of lifetimes, its `curve` those on the way.

    Attributes:
        horizon: length of a lifetime in environment steps.
        lives: for each of the `tuning`, the number of lives by which it was judged.
        ranges: what was tuned, by name: the least and greatest value tried, after widening.
        at_edge: names of what is still best at the end of its range.
        untrained: mean return of agents of the same keys that have learned nothing.
        untrained_error: standard error of that mean.
        figures: other figures by name: for each, the means in each twentieth of the lifetime.
    """

    horizon: float
    lives: list[int]
    ranges: dict[str, list[float]]
    at_edge: list[str]
    untrained: float
    untrained_error: float
    figures: dict[str, list[float | None]]


def agent_ranges(learner: Learner, kind: str) -> Ranges:
    """Return what is tuned at first of the agents of a kind of rule, the same for all rules of the kind."""
    table = isinstance(learner.env.observations, Discrete)
    steps = learner.settings.optimizer if isinstance(learner, DriftLearner) else "sgd" if table else "adam"
    return AGENT_RANGES[kind, "table" if table else "network", steps]


def agent_settings(rule: Objective, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a rule's agents, with those shared settings that its kind of agent has.

    The shared settings override those of a network, but not those of a program, which define it (A2C's one epoch), nor
    those of a network that are part of it.
    """
    known = {field.name for field in fields(settings_of(rule.kind, {}))} - PARTS_OF_RULES
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
        trials: settings tried at first; see `tuned`.
        seeds: lifetimes at the best setting.

    Raises:
        RulesmithError: the horizon is shorter than one update.
    """
    env = run.learner.env
    updates = updates_for(horizon, run.learner)
    arrays = dict(rule.arrays) or {"none": np.zeros(1, np.float32)}
    candidates = {name: array[None] for name, array in arrays.items()}
    most = sum(more for _, more in ROUNDS)
    # All calls have as many places, so that one compiled function serves them.
    places = max(*(max(1, trials // part) * more for part, more in ROUNDS), seeds)

    def live(at: list[dict[str, float]], lives: range, seed: int, length: int) -> Life:
        """Return lives of these numbers at each setting; those of different settings share keys and levels."""
        _, level, lifetime = jax.random.split(jax.random.key(seed), 3)
        each, count, total = max(most, seeds), len(lives), len(at) * len(lives)
        unused = (0, places - total)
        which = np.pad(np.tile(np.array(lives), len(at)), unused)
        rate, entropy = (
            np.pad(np.repeat(np.array([setting.get(name, 0.0) for setting in at], np.float32), count), unused)
            for name in ("learning_rate", "entropy")
        )
        lived = run(
            candidates,
            Trials(
                np.where(np.arange(places) < total, 0, -1).astype(np.int32),  # -1: this place is skipped
                np.where(np.arange(places) < total, length, 0).astype(np.int32),
                jax.random.split(lifetime, each)[which],
                jax.tree.map(lambda x: x[which], draw_levels(env, (each,), level)),
                Hyper(rate, entropy) if rule.kind == "drift" else rate,
            ),
        )
        return jax.tree.map(lambda x: x[:total], lived)

    def returns(at: list[dict[str, float]], lives: range) -> np.ndarray:
        return np.asarray(live(at, lives, TUNING_KEY, updates).final).reshape(len(at), -1)

    tried, ranges, edges = tuned(agent_ranges(run.learner, rule.kind), trials, returns)
    best = tried[0].setting
    lives = live([best], range(seeds), CLAIM_KEY, updates)
    untrained = live([best], range(seeds), CLAIM_KEY, 0).final
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # parts of a life without any episode
        curve = [np.nanmean(part) for part in lives.returns.T]
        figures = {name: plain_list(np.nanmean(values, axis=0)) for name, values in lives.figures.items()}
    return ObjectiveVerdict(
        task=task,
        setting=best,
        tuning=[[each.setting, plain(each.worth)] for each in tried],
        lives=[len(each.returns) for each in tried],
        ranges={name: list(bounds) for name, bounds in ranges.items()},
        at_edge=edges,
        results=plain_list(lives.final),
        curve=plain_list(curve),
        horizon=float(horizon),
        untrained=float(np.mean(untrained)),
        untrained_error=float(np.std(untrained, ddof=1) / np.sqrt(seeds)),
        figures=figures,
    )


class TriedLives(NamedTuple):
    """A setting that was tried, and the returns of its lives, the first ones of a fixed sequence."""

    setting: dict[str, float]
    returns: Float[np.ndarray, " lives"]

    @property
    def worth(self) -> float:
        """The mean return; NaN if a life diverged."""
        return float(self.returns.mean())

    @property
    def place(self) -> tuple[int, float]:
        """What settings are ordered by, the best first: those of most lives, then the highest mean return."""
        return -len(self.returns), -self.worth if np.isfinite(self.worth) else np.inf


def tuned(
    ranges: Ranges, trials: int, returns: Callable[[list[dict[str, float]], range], np.ndarray]
) -> tuple[list[TriedLives], dict[str, tuple[float, float]], list[str]]:
    """Return all settings that were tried, the best first; the ranges in the end; and where the best is at their ends.

    The settings are tried by successive halving, see `ROUNDS`. Where the best of all has the least or the greatest
    value of something, half as many more settings are tried beyond it, at most `WIDENINGS` times.

    Args:
        ranges: what is tuned at first.
        trials: settings tried at first.
        returns: function of settings and numbers of lives to the lives' returns, (settings, lives).
    """
    wide = dict(ranges)
    found = _halved(settings(wide, trials), returns)
    for _ in range(WIDENINGS):
        ends = _ends(found)
        if not ends:
            break
        name, side = ends[0]
        low, high = wide[name]
        factor = (high / low) ** WIDER
        beyond = (low / factor, low) if side < 0 else (high, high * factor)
        found = sorted(
            found + _halved(settings({**wide, name: beyond}, max(2, trials // 2)), returns), key=lambda x: x.place
        )
        wide[name] = (min(low, beyond[0]), max(high, beyond[1]))
    return found, wide, [name for name, _ in _ends(found)]


def _halved(
    points: list[dict[str, float]], returns: Callable[[list[dict[str, float]], range], np.ndarray]
) -> list[TriedLives]:
    """Return settings with their returns after successive halving, the best first."""
    known: dict[int, np.ndarray] = {i: np.zeros(0) for i in range(len(points))}

    def worth(which: Sequence[int], more: int) -> list[float]:
        begun = len(known[which[0]])
        for i, row in zip(which, returns([points[i] for i in which], range(begun, begun + more)), strict=True):
            known[i] = np.concatenate([known[i], row])
        return [-known[i].mean() for i in which]

    rounds = [(max(1, len(points) // part), functools.partial(worth, more=more)) for part, more in ROUNDS]
    successive_halving(rounds)
    return sorted((TriedLives(points[i], known[i]) for i in known), key=lambda x: x.place)


def _ends(found: Sequence[TriedLives]) -> list[tuple[str, int]]:
    """Return what of the best setting has the least (-1) or the greatest (1) value of all that were tried."""
    ends = []
    for name, value in found[0].setting.items() if len(found) > 1 else ():
        values = [each.setting[name] for each in found]
        if value in (min(values), max(values)):
            ends.append((name, -1 if value == min(values) else 1))
    return ends
