"""The statistics of a comparison (Agarwal et al. 2021): interquartile means with stratified bootstrap intervals,
performance profiles, probability of improvement. Pure functions of arrays of scores, ``(tasks, seeds)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special, stats

RESAMPLES = 2000
"""Bootstrap resamples of an interval."""

Scores = Float[np.ndarray, "tasks seeds"]


class Estimate(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interquartile_mean(scores: Float[np.ndarray, ...], axis: Any = None) -> Float[np.ndarray, ...]:
    """Return the mean of the middle half of all scores (a quarter is cut off at each end)."""
    return np.asarray(stats.trim_mean(scores, 0.25, axis=axis))


def mean_and_error(results: Sequence[float | None]) -> tuple[float, float]:
    """Return the mean and standard error of a contestant's results that are not None; NaN where there are too few."""
    known = np.array([result for result in results if result is not None], float)
    mean = float(known.mean()) if len(known) else math.nan
    return mean, float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else math.nan


def _strata(scores: Scores) -> tuple[Float[np.ndarray, " seeds"], ...]:
    rows = tuple(np.asarray(row, float) for row in scores)
    if not rows or any(len(row) < 2 for row in rows):
        raise ValueError("an interval needs at least two seeds of each task")
    return rows


def aggregate(scores: Scores, seed: int = 0) -> Estimate:
    """Return the interquartile mean over tasks and seeds; the bootstrap draws seeds anew within each task.

    Raises:
        ValueError: a task has fewer than two seeds.
    """

    def statistic(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
        return interquartile_mean(np.concatenate(rows, axis=axis), axis=axis)

    return _bootstrapped(_strata(scores), statistic, seed)


def relative(ours: Scores, theirs: Scores, seed: int = 0) -> Estimate:
    """Return the interquartile mean of losses relative to another's, and its interval.

    On each task, losses are divided by the other's interquartile mean there; the bootstrap draws the seeds of both
    sides anew, so that the noise of the divisor counts as well.

    Raises:
        ValueError: a task has fewer than two seeds, or the tasks differ in number.
    """
    if len(ours) != len(theirs):
        raise ValueError("both need losses on the same tasks")
    count = len(ours)

    def statistic(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
        scaled = [
            x / np.expand_dims(interquartile_mean(y, axis=axis), axis)
            for x, y in zip(rows[:count], rows[count:], strict=True)
        ]
        return interquartile_mean(np.concatenate(scaled, axis=axis), axis=axis)

    return _bootstrapped((*_strata(ours), *_strata(theirs)), statistic, seed)


def improvement(ours: Scores, theirs: Scores, seed: int = 0) -> Estimate:
    """Return the probability that a run of ours scores higher than one of theirs on the same task, ties counting half.

    The mean over tasks of the Mann-Whitney statistic over all pairs of seeds.

    Raises:
        ValueError: a task has fewer than two seeds, or the tasks differ in number.
    """
    if len(ours) != len(theirs):
        raise ValueError("both need scores on the same tasks")
    count = len(ours)

    def statistic(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
        means = []
        for x, y in zip(rows[:count], rows[count:], strict=True):
            pairs = np.moveaxis(x, axis, -1)[..., :, None] - np.moveaxis(y, axis, -1)[..., None, :]
            means.append(((pairs > 0) + 0.5 * (pairs == 0)).mean(axis=(-2, -1)))
        return np.mean(means, axis=0)

    return _bootstrapped((*_strata(ours), *_strata(theirs)), statistic, seed)


def profile(scores: Scores, thresholds: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the share of runs that score above each threshold, each task counting the same."""
    return np.mean([(np.asarray(row)[:, None] > thresholds).mean(axis=0) for row in scores], axis=0)


def slope(
    ours: Scores, theirs: Scores, x: Float[np.ndarray, " tasks"], groups: Sequence[str], seed: int = 0
) -> Estimate:
    """Return the slope over `x` of the logarithm of loss relative to another's, by least squares within groups.

    Each group has a level of its own, so only differences within groups count. The bootstrap draws the seeds of both
    sides anew within each task.

    Raises:
        ValueError: a task has fewer than two seeds, or no group has two values of `x`.
    """
    count = len(ours)
    places = np.array(x, float)
    for group in set(groups):
        members = [name == group for name in groups]
        places[members] -= places[members].mean()
    if not places.any():
        raise ValueError("a slope needs two sizes in a group")
    weights = places / (places**2).sum()  # groups' levels drop out, since the places of each sum to 0

    def statistic(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
        levels = [np.log(interquartile_mean(row, axis=axis)) for row in rows]
        return sum((w * (a - b) for w, a, b in zip(weights, levels[:count], levels[count:], strict=True)), np.zeros(()))

    return _bootstrapped((*_strata(ours), *_strata(theirs)), statistic, seed)


def expected_best(
    losses: Float[np.ndarray, "tasks settings"], seed: int = 0, resamples: int = 500
) -> dict[int, Estimate]:
    """Return, for n = 1, 2, 4, ... settings, the smallest of their losses to be expected, a geometric mean over tasks.

    The expectation is over which n of the settings are drawn, without replacement (Dodge et al. 2019); the bootstrap of
    the interval draws the settings anew, and its bias is taken out: where settings are drawn twice, fewer are left, and
    the best of them is worse. A loss that is not finite counts as the worst finite one of its task.

    Args:
        losses: of all settings, above 0; those of each task in a unit of its own.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    values = np.array(losses, float)
    worst = np.max(np.where(np.isfinite(values), values, -np.inf), axis=1, keepdims=True)
    values = np.where(np.isfinite(values), values, worst)
    count, ranks = values.shape[1], np.arange(values.shape[1])
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, *values.shape))
    resampled = np.sort(np.take_along_axis(values[None], drawn, axis=2), axis=2)
    found = {}
    for n in (2**i for i in range(count.bit_length())):
        smallest = special.comb(count - ranks - 1, n - 1) / special.comb(count, n)  # chance of each rank to be the best
        mean, means = (np.log(np.sort(x, axis=-1) @ smallest).mean(axis=-1) for x in (values, resampled))
        ends = np.quantile(means - means.mean(), (0.025, 0.975))
        found[n] = Estimate(*(float(np.exp(mean + end)) for end in (0.0, *ends)))
    return found


def rank_correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], seed: int = 0) -> Estimate:
    """Return Spearman's rank correlation of pairs, which the bootstrap draws anew; 0 if all x or all y are equal."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(x), (RESAMPLES, len(x)))
    ranks = [stats.rankdata(values[drawn], axis=1) for values in (x, y)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found = (a * b).sum(axis=1) / np.where(scale > 0, scale, 1.0)
    low, high = np.quantile(found, (0.025, 0.975))
    value = np.asarray(stats.spearmanr(x, y)[0])
    return Estimate(float(value), float(low), float(high))


def _bootstrapped(rows: tuple[np.ndarray, ...], statistic: object, seed: int) -> Estimate:
    value = float(statistic(*rows))  # pyright: ignore[reportCallIssue]
    if all(np.ptp(row) == 0 for row in rows):
        return Estimate(value, value, value)
    found = stats.bootstrap(
        rows,
        statistic,  # pyright: ignore[reportArgumentType]
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return Estimate(value, float(low), float(high))
