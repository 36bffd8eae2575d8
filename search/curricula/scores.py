"""Scores of levels: how much is left to learn on a level, judged by a life on it. A higher score is replayed more.

Each score is a small function of `Lives`, the lives that ended. Scores by regret need a *yardstick*, the return that is
possible: an antagonist's (algorithmic regret, Jackson et al. 2023), or the optimal one (exact regret). Other scores
need *figures* of an agent's last rollout, and define these themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ...meta import life_figures
from ...meta.life_figures import LifeFigure
from ...programs.errors import unknown


class Lives(NamedTuple):
    """What is known of agents' lives after a step; each field has the axis ``(slots,)``.

    Attributes:
        over: slots whose life ended in the step; the other fields have a meaning for those only.
        sound: slots whose agent did not diverge.
        returns: mean return of whole episodes by the last policy.
        yardstick: the return that was possible; NaN where the score needs none.
        best: highest return of any episode of the life.
        figures: further figures that scores need, by name; NaN where not measured.
    """

    over: Bool[np.ndarray, " slots"]
    sound: Bool[np.ndarray, " slots"]
    returns: Float[np.ndarray, " slots"]
    yardstick: Float[np.ndarray, " slots"]
    best: Float[np.ndarray, " slots"]
    figures: Mapping[str, Float[np.ndarray, " slots"]]

    def figure(self, name: str) -> Float[np.ndarray, " slots"]:
        """Return a figure; NaN where it was not measured."""
        return self.figures.get(name, np.full(len(self.over), np.nan))


def regret(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return the possible return minus the one reached: algorithmic or exact regret, depending on the yardstick."""
    return lives.yardstick - lives.returns


def relative_regret(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return the share of the possible return that was missed, from -1 to 1; 0 where no return above 0 is possible.

    Regret itself is largest on levels whose returns are largest, which is where rewards are many or come back often,
    whether or not there is much to learn.
    """
    possible = ~(lives.yardstick <= 0)  # what is not known stays NaN
    return np.where(possible, np.clip(regret(lives) / np.where(possible, lives.yardstick, 1.0), -1.0, 1.0), 0.0)


def positive_value_loss(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return how much better the agent did than its critic expected (Dennis et al. 2020, Jiang et al. 2021)."""
    return lives.figure("positive value loss")


def l1_value_loss(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return how wrong the critic was (prioritized level replay, Jiang et al. 2021)."""
    return lives.figure("L1 value loss")


def max_monte_carlo(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return the best return of any episode minus the one that the critic expects (Jiang et al. 2021)."""
    return lives.best - lives.figure("value")


def equal(lives: Lives) -> Float[np.ndarray, " slots"]:
    """Return 0: no level is preferred."""
    return np.zeros(len(lives.over))


@dataclass(frozen=True)
class LevelScore:
    """A score of levels, and what it needs.

    Attributes:
        worth: function of lives to scores, higher for levels that are to be replayed more.
        yardstick: "antagonist", "optimal", or "" if it needs none.
        figures: functions of an agent's last rollout, by the names under which `worth` reads them in `Lives.figures`;
            they need the agents' critics, which only meta-gradients have.
        replay: how likely a new agent gets a level from the buffer; None leaves that to the settings. 1 means always
            once the buffer is full: its levels then stay the same.
    """

    worth: Callable[[Lives], Float[np.ndarray, " slots"]]
    yardstick: Literal["antagonist", "optimal", ""] = ""
    figures: Mapping[str, LifeFigure] = field(default_factory=dict)
    replay: float | None = None


LEVEL_SCORES: dict[str, LevelScore] = {
    "algorithmic-regret": LevelScore(regret, "antagonist"),
    "exact-regret": LevelScore(regret, "optimal"),
    "relative-algorithmic-regret": LevelScore(relative_regret, "antagonist"),
    "relative-exact-regret": LevelScore(relative_regret, "optimal"),
    "pvl": LevelScore(positive_value_loss, figures={"positive value loss": life_figures.positive_advantage}),
    "l1": LevelScore(l1_value_loss, figures={"L1 value loss": life_figures.advantage_size}),
    "maxmc": LevelScore(max_monte_carlo, figures={"value": life_figures.mean_value}),
    "random": LevelScore(equal, replay=0.0),
    "frozen": LevelScore(equal, replay=1.0),
}
"""Scores by name. `random` gives every agent a new level, `frozen` one of the levels that first filled the buffer.

A new score needs only one more row: runs measure and keep the figures of all scores, and reports correlate them.
"""


def every_figure() -> dict[str, LifeFigure]:
    """Return the figures of all scores, so that every score of a run's lives can be computed."""
    return {name: figure for score in LEVEL_SCORES.values() for name, figure in score.figures.items()}


def rank_weights(worth: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return 1 / rank, the largest first; equal values share a rank, so that their order does not matter."""
    return 1.0 / (1.0 + np.searchsorted(np.sort(-worth), -worth))


def score_named(name: str) -> LevelScore:
    """Return a score.

    Raises:
        RulesmithError: there is none of that name.
    """
    if name not in LEVEL_SCORES:
        raise unknown("score", name, LEVEL_SCORES)
    return LEVEL_SCORES[name]
