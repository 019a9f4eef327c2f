import math

import numpy as np
import pytest

from mmavs.evaluation.bootstrap import (
    bootstrap_interval,
    draw_sums,
    evaluate_statistic,
    mean_statistic,
    paired_difference,
    resample,
)


def test_lists_are_resamples():
    draws = resample(num_clips=6, num_samples=4000, seed=0)
    assert draws.shape == (4000, 6)
    counts = np.stack([(draws == clip).sum(1) for clip in range(6)], axis=1)
    assert counts.mean(0) == pytest.approx(np.ones(6), abs=0.06)
    # A binomial count of 6 draws with probability 1/6.
    assert counts.var(0) == pytest.approx(np.full(6, 5 / 6), abs=0.08)
    # Neighbours are independent: as often the same clip as chance has it.
    assert (draws[:, 1:] == draws[:, :-1]).mean() == pytest.approx(1 / 6, abs=0.01)


def test_sums_of_lists():
    values = np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    draws = np.array([[2, 0, 2], [1, 1, 1]])
    assert draw_sums(values, draws).tolist() == [[201, 402], [30, 60]]
    assert draw_sums(values[:, 0], draws).tolist() == [201, 30]


def test_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(50, 10, size=400)
    statistic = mean_statistic(values, np.ones(400))
    low, high = bootstrap_interval(statistic, 400, num_samples=4000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1)
    assert high == pytest.approx(values.mean() + half, abs=0.1)
    narrow = bootstrap_interval(statistic, 400, num_samples=4000, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_interval_equals_drawing_clips_one_by_one():
    sums, counts = np.array([3.0, 10.0, 1.0]), np.array([1.0, 4.0, 2.0])
    slow = [sum(sums[index] for index in draw) / sum(counts[index] for index in draw)
            for draw in resample(3, 50, seed=7).tolist()]
    expected = np.percentile(slow, [2.5, 97.5])
    assert bootstrap_interval(mean_statistic(sums, counts), 3, num_samples=50, seed=7) == pytest.approx(expected)


def test_seed_decides():
    statistic = mean_statistic(np.arange(20.0), np.ones(20))
    assert bootstrap_interval(statistic, 20, seed=3) == bootstrap_interval(statistic, 20, seed=3)
    assert bootstrap_interval(statistic, 20, seed=3) != bootstrap_interval(statistic, 20, seed=4)
    settings = dict(num_samples=2000, confidence=0.95, seed=0)
    assert bootstrap_interval(statistic, 20) == bootstrap_interval(statistic, 20, **settings), 'the defaults'
    assert bootstrap_interval(statistic, 1) == (0, 0), 'one clip has no spread'


def test_undefined_scores():
    nothing = mean_statistic(np.zeros(4), np.zeros(4))
    assert all(math.isnan(end) for end in bootstrap_interval(nothing, 4))
    assert math.isnan(evaluate_statistic(nothing, 4))
    assert math.isnan(evaluate_statistic(nothing, 0))
    # Only the first clip has values: resamples without it are left out.
    one = mean_statistic(np.array([6.0, 0.0]), np.array([2.0, 0.0]))
    assert bootstrap_interval(one, 2) == (3.0, 3.0)
    assert evaluate_statistic(one, 2) == 3


def test_paired_difference():
    first = np.random.default_rng(0).uniform(0, 100, size=60)
    counts = np.random.default_rng(1).integers(1, 6, size=60).astype(float)
    one, other = mean_statistic(first * counts, counts), mean_statistic((first + 2) * counts, counts)
    nought = mean_statistic(np.zeros(60), counts)
    result = paired_difference(one, other, 60)
    assert result == pytest.approx((2, 2, 2, 60)), 'what both share cancels out'
    assert result.value == evaluate_statistic(other, 60) - evaluate_statistic(one, 60)
    ends = [paired_difference(nought, one, 60, seed=seed)[1:3] for seed in (0, 3)]
    assert ends == [bootstrap_interval(one, 60, seed=seed) for seed in (0, 3)], 'the draws of the seed'
    assert ends[0] == paired_difference(nought, one, 60, num_samples=2000, confidence=0.95)[1:3]
    plain, noisy = (mean_statistic(values, np.ones(60)) for values in (first, first + 2 + np.tile([-5, 5], 30)))
    result = paired_difference(plain, noisy, 60)
    assert result.value == pytest.approx(2)
    assert result.low < 2 < result.high
    assert result.high - result.low == pytest.approx(2 * 1.96 * 5 / 60**0.5, abs=0.3)
    nothing = mean_statistic(np.zeros(60), np.zeros(60))
    assert all(math.isnan(value) for value in paired_difference(one, nothing, 60)[:3])


@pytest.mark.parametrize('keywords', [dict(num_clips=0), dict(num_clips=3, num_samples=0),
                                      dict(num_clips=3, confidence=1.0)])
def test_bad_settings(keywords):
    with pytest.raises(ValueError, match='must be at least 1 and confidence between 0 and 1'):
        bootstrap_interval(mean_statistic(np.ones(3), np.ones(3)), **keywords)
