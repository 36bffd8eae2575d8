"""Scores of levels: how much a life on one says that there is to learn there. Higher is replayed more.

Each is a small function of the lives that ended, `Lives`. Those by regret need a *yardstick*, the return that was
possible: an antagonist's (algorithmic regret, Jackson et al. 2023), or the optimal one (exact regret).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ...programs.errors import unknown


class Lives(NamedTuple):
    """What is known of agents' lives after a step; each field has the axis ``(slots,)``.

    Attributes:
        over: whose life ended in the step; all else counts for those only.
        sound: whose agent did not diverge.
        returns: mean return of whole episodes by the last policy.
        yardstick: the return that was possible; NaN where the score needs none.
        positive_value_loss: mean positive part of the last advantages; NaN without a critic, as are the next.
        l1_value_loss: mean size of these.
        value: mean value that the critic gave to the last states.
        best: highest return of any episode of the life.
    """

    over: Bool[np.ndarray, " slots"]
    sound: Bool[np.ndarray, " slots"]
    returns: Float[np.ndarray, " slots"]
    yardstick: Float[np.ndarray, " slots"]
    positive_value_loss: Float[np.ndarray, " slots"]
    l1_value_loss: Float[np.ndarray, " slots"]
    value: Float[np.ndarray, " slots"]
    best: Float[np.ndarray, " slots"]


def regret(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return what was possible beyond what was reached: algorithmic or exact regret, as the yardstick is."""
    return lives.yardstick - lives.returns


def positive_value_loss(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return how much better than the critic thought it went (Dennis et al. 2020, Jiang et al. 2021)."""
    return lives.positive_value_loss


def l1_value_loss(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return how wrong the critic was (prioritized level replay, Jiang et al. 2021)."""
    return lives.l1_value_loss


def max_monte_carlo(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return the best return that was ever reached beyond what the critic expects (Jiang et al. 2021)."""
    return lives.best - lives.value


def equal(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return 0: no level is preferred."""
    return np.zeros(len(lives.over))


@dataclass(frozen=True)
class LevelScore:
    """A score, and what goes with it.

    Attributes:
        worth: function of lives to scores.
        yardstick: "antagonist", "optimal", or "" if it needs none.
        critic: whether it needs the agents' critics.
        replay: how likely a new agent gets a level from the buffer; None leaves that to the settings. 1 means always
            once the buffer is full: its levels then stay the same.
    """

    worth: Callable[[Lives], Float[np.ndarray, " slots"]]
    yardstick: Literal["antagonist", "optimal", ""] = ""
    critic: bool = False
    replay: float | None = None


LEVEL_SCORES: dict[str, LevelScore] = {
    "algorithmic-regret": LevelScore(regret, "antagonist"),
    "exact-regret": LevelScore(regret, "optimal"),
    "pvl": LevelScore(positive_value_loss, critic=True),
    "l1": LevelScore(l1_value_loss, critic=True),
    "maxmc": LevelScore(max_monte_carlo, critic=True),
    "random": LevelScore(equal, replay=0.0),
    "frozen": LevelScore(equal, replay=1.0),
}
"""By name. `random` gives every agent a new level, `frozen` one of those that the buffer was first filled with."""


def rank_weights(worth: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return 1 / rank, the largest first; equal ones have equal ranks, or their order would decide."""
    return 1.0 / (1.0 + np.searchsorted(np.sort(-worth), -worth))


def score_named(name: str) -> LevelScore:
    """Return a score.

    Raises:
        RulesmithError: there is none of that name.
    """
    if name not in LEVEL_SCORES:
        raise unknown("score", name, LEVEL_SCORES)
    return LEVEL_SCORES[name]
