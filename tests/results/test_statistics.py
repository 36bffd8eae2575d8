"""Statistics on data with known answers."""

import itertools

import numpy as np
import pytest
from rulesmith.results.statistics import (
    aggregate,
    expected_best,
    improvement,
    interquartile_mean,
    mean_and_error,
    profile,
    rank_correlation,
    relative,
)


def test_the_interquartile_mean_cuts_a_quarter_at_each_end():
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(size=400))
    assert interquartile_mean(scores) == pytest.approx(scores[100:300].mean())


def test_the_error_of_a_mean_leaves_out_what_diverged():
    # Deviations of 1, 2, 6 from their mean 3 are 2, 1, 3: a variance of 14 / 2, over three of them.
    assert mean_and_error([1.0, None, 2.0, 6.0]) == (3.0, pytest.approx(np.sqrt(7 / 3)))
    assert np.isnan(mean_and_error([None, None])).all()
    assert mean_and_error([5.0])[0] == 5.0
    assert np.isnan(mean_and_error([5.0])[1])


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    means = np.array([0.2, 0.5, 0.8])
    # Symmetric within symmetric tasks: the interquartile mean of the mixture is its middle.
    held = 0
    for trial in range(60):
        scores = means[:, None] + 0.3 * rng.normal(size=(3, 20))
        found = aggregate(scores, seed=trial)
        assert found.low <= found.value <= found.high
        held += found.low <= 0.5 <= found.high
    assert 50 <= held <= 60


def test_more_seeds_make_narrower_intervals():
    rng = np.random.default_rng(0)
    few, many = (aggregate(rng.normal(size=(4, n))) for n in (5, 200))
    assert many.high - many.low < 0.3 * (few.high - few.low)


def test_the_bootstrap_is_stratified():
    # Seeds of a task are all alike: drawing anew within each task changes nothing, across tasks it would.
    scores = np.repeat([[0.0], [1.0], [2.0], [3.0]], 5, axis=1)
    found = aggregate(scores)
    assert found.low == found.high == found.value == 1.5


def test_probability_of_improvement():
    low, high = np.zeros((2, 5)), np.ones((2, 5))
    assert improvement(high, low).value == 1.0
    assert improvement(low, high).value == 0.0
    assert improvement(low, low).value == 0.5
    rng = np.random.default_rng(0)
    # P(X > Y) of normals one deviation apart is the normal distribution's value at 1 / sqrt 2.
    found = improvement(1 + rng.normal(size=(3, 150)), rng.normal(size=(3, 150)))
    assert found.value == pytest.approx(0.760, abs=0.03)
    assert found.low < 0.760 < found.high


def test_performance_profiles():
    scores = np.array([[0.1, 0.9], [0.4, 0.6]])
    assert profile(scores, np.array([0.0, 0.5, 0.95])).tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("scores", [np.zeros((0, 5)), np.zeros((2, 1))])
def test_an_interval_from_one_seed_is_refused(scores):
    with pytest.raises(ValueError, match="two seeds"):
        aggregate(scores)


def test_relative_losses_of_known_data():
    ours, theirs = np.full((2, 4), 0.5), np.full((2, 4), 2.0)
    assert relative(ours, theirs) == (0.25, 0.25, 0.25)
    noisy = np.array([[1.0, 2.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0]])
    found = relative(np.ones((2, 4)), noisy)
    assert found.value == pytest.approx(0.5)  # the middle half of (1, 2, 3, 2) means 2
    assert found.low < 0.5 < found.high
    assert relative(noisy, noisy).value == pytest.approx(1.0)


def test_rank_correlation_of_known_data():
    x = np.arange(30.0)
    assert rank_correlation(x, x**3).value == pytest.approx(1.0)
    assert rank_correlation(x, -x).high == pytest.approx(-1.0)
    assert rank_correlation(x, np.ones(30)) == (0.0, 0.0, 0.0)
    rng = np.random.default_rng(0)
    low = rank_correlation(rng.normal(size=200), rng.normal(size=200))
    assert low.low < 0 < low.high


def test_the_best_of_some_settings_to_be_expected():
    losses = np.array([[4.0, 1.0, 2.0, 3.0], [np.inf, 10.0, 20.0, 40.0]])
    found = expected_best(losses)
    assert list(found) == [1, 2, 4]
    pairs = [min(a, b) for a, b in itertools.combinations([1.0, 2.0, 3.0, 4.0], 2)]
    others = [min(a, b) for a, b in itertools.combinations([10.0, 20.0, 40.0, 40.0], 2)]
    assert found[1].value == pytest.approx(np.sqrt(2.5 * 27.5))
    assert found[2].value == pytest.approx(np.sqrt(np.mean(pairs) * np.mean(others)))
    assert found[4].value == pytest.approx(np.sqrt(10.0))
    assert all(best.low <= best.value <= best.high for best in found.values())


def test_a_contestant_that_is_the_baseline_is_not_shown_to_differ():
    rng = np.random.default_rng(0)
    shown = 0
    for seed in range(60):
        ours, theirs = (np.exp(0.02 * rng.normal(size=(8, 3))) for _ in range(2))
        estimate = relative(ours, theirs, seed)
        shown += not estimate.low <= 1.0 <= estimate.high
    assert shown <= 6  # 5% of 60 are 3
    better = relative(0.95 * ours, theirs)
    assert better.high < 1.0
