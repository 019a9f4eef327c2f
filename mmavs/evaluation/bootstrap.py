"""Bootstrap intervals over clips (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13).

A score is a function of how often each clip is drawn: counts of shape (R, n) for R resamples of n clips -> (R,) scores.
So one function gives the score itself (every clip once) and its interval.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]


class PairedDifference(NamedTuple):
    """Mean difference of two results over the same clips.

    Attributes:
        mean: Mean of second minus first.
        low: Lower end of the interval.
        high: Upper end of the interval.
        num_clips: Clips.
    """

    mean: float
    low: float
    high: float
    num_clips: int


def resampling_counts(num_units: int, num_samples: int, seed: int) -> np.ndarray:
    """How often each of ``num_units`` is drawn in each resample; shape (num_samples, num_units), float64."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(num_units, np.full(num_units, 1 / num_units), size=num_samples).astype(np.float64)


def bootstrap_interval(statistic: Statistic, num_units: int, num_samples: int = 2000, confidence: float = 0.95,
                       seed: int = 0) -> tuple[float, float]:
    """Percentile interval of a score under resampling of clips.

    Args:
        statistic: Counts (R, n) -> scores (R,). A resample in which the score is undefined (NaN) is left out.
        num_units: n, clips (or groups of clips).
        num_samples: R. Default 2000.
        confidence: Default 0.95.
        seed: Same seed, same interval. Default 0.

    Returns:
        Lower and upper end; NaN if the score is undefined in every resample.

    Raises:
        ValueError: If ``num_units`` or ``num_samples`` is below 1, or ``confidence`` not between 0 and 1.
    """
    if num_units < 1 or num_samples < 1 or not 0 < confidence < 1:
        raise ValueError('bootstrap_interval: num_units and num_samples must be at least 1 and confidence between 0 '
                         f'and 1, got {num_units}, {num_samples} and {confidence}.')
    scores = statistic(resampling_counts(num_units, num_samples, seed))
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return float('nan'), float('nan')
    tail = 50 * (1 - confidence)
    low, high = np.percentile(scores, [tail, 100 - tail])
    return float(low), float(high)


def paired_difference(first: Sequence[float], second: Sequence[float], num_samples: int = 2000,
                      confidence: float = 0.95, seed: int = 0) -> PairedDifference:
    """Mean of ``second - first`` over the same clips, with its interval.

    Args:
        first: One value for each clip.
        second: The values of the other model, same clips in the same order.
        num_samples: As for :func:`bootstrap_interval`.
        confidence: As for :func:`bootstrap_interval`.
        seed: As for :func:`bootstrap_interval`.

    Raises:
        ValueError: If the lengths differ or are 0.
    """
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64) \
        if len(first) == len(second) else np.empty(0)
    if not len(differences):
        raise ValueError('paired_difference: both results need the same number of clips, at least one; got '
                         f'{len(first)} and {len(second)}.')
    low, high = bootstrap_interval(mean_statistic(differences, np.ones(len(differences))), len(differences),
                                   num_samples=num_samples, confidence=confidence, seed=seed)
    return PairedDifference(float(differences.mean()), low, high, len(differences))


def mean_statistic(sums: np.ndarray, counts: np.ndarray) -> Statistic:
    """The mean of values that come in unequal numbers from each clip.

    Args:
        sums: Sum of the values of each clip. Shape (n,), or (n, C) for C means.
        counts: Number of values of each clip. Same shape.

    Returns:
        Draws (R, n) -> means (R,) or (R, C); NaN where nothing was drawn.
    """
    def statistic(draws: np.ndarray) -> np.ndarray:
        with np.errstate(invalid='ignore', divide='ignore'):
            return (draws @ sums) / (draws @ counts)

    return statistic


def evaluate_statistic(statistic: Statistic, num_units: int) -> float:
    """The score itself: every clip drawn once. NaN without clips."""
    return float(statistic(np.ones((1, num_units)))[0]) if num_units else float('nan')
