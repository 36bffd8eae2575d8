"""What every judgement is: one contestant on one task, tuned first, then run on seeds that the tuning has not seen.

`judging_optimizers` judges what trains networks, `judging_objectives` what trains agents. Both try the points of the
same quasi-random sequence (`tuning.settings`) with `TUNING_SEEDS` seeds each, and run the best of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was found of a contestant on a task, as plain data that is kept. Numbers that are not finite are None.

    Attributes:
        task: the task's name.
        setting: the best setting: a value for each name that is tuned.
        tuning: (setting, its mean result over the seeds) of every trial.
    """

    task: str
    setting: dict[str, float]
    tuning: list[list[Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Verdict(Kept):
    """A contestant judged on a task.

    Attributes:
        results: results of the runs at the best setting, one for each seed: test losses, or returns.
        curve: mean over these runs of the loss after, or of the return in, each twentieth of the training.
    """

    results: list[float | None]
    curve: list[float | None]


def plain(number: Any) -> float | None:
    """Return a number as one that JSON can hold: None if it is not finite."""
    return float(number) if math.isfinite(number) else None


def plain_list(numbers: Iterable[Any]) -> list[float | None]:
    """Return numbers as a list that JSON can hold; see `plain`."""
    return [plain(number) for number in numbers]
