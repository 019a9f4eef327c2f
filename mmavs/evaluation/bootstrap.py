"""Bootstrap intervals over clips (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13).

A score is a function of a list of clips: indices of shape (R, m) for R lists of m of the n clips -> (R,) scores. So one
function gives the score itself (every clip once, in order), that of a part of the clips, and its interval; also where
it depends on which clips stand beside each other, because a protocol pools every eight of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]


class PairedDifference(NamedTuple):
    """Difference of two results over the same clips.

    Attributes:
        value: Second minus first.
        low: Lower end of the interval.
        high: Upper end of the interval.
        num_clips: Clips.
    """

    value: float
    low: float
    high: float
    num_clips: int


def resample(num_clips: int, num_samples: int, seed: int) -> np.ndarray:
    """Draw lists of as many clips, with replacement; shape (num_samples, num_clips), indices.

    The order is that of the draws, so a statistic of groups of neighbours meets independent clips in each, as in a
    dataset whose order says nothing. (In the order of the dataset a clip drawn twice would be its own neighbour, and
    groups of like clips score too high.)
    """
    return np.random.default_rng(seed).integers(num_clips, size=(num_samples, num_clips))


def bootstrap_interval(statistic: Statistic, num_clips: int, num_samples: int = 2000, confidence: float = 0.95,
                       seed: int = 0) -> tuple[float, float]:
    """Percentile interval of a score under resampling of clips.

    Args:
        statistic: Indices (R, n) -> scores (R,). A resample in which the score is undefined (NaN) is left out.
        num_clips: n.
        num_samples: R. Default 2000.
        confidence: Default 0.95.
        seed: Same seed, same interval. Default 0.

    Returns:
        Lower and upper end; NaN if the score is undefined in every resample.

    Raises:
        ValueError: If ``num_clips`` or ``num_samples`` is below 1, or ``confidence`` not between 0 and 1.
    """
    if num_clips < 1 or num_samples < 1 or not 0 < confidence < 1:
        raise ValueError('bootstrap_interval: num_clips and num_samples must be at least 1 and confidence between 0 '
                         f'and 1, got {num_clips}, {num_samples} and {confidence}.')
    scores = statistic(resample(num_clips, num_samples, seed))
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return float('nan'), float('nan')
    tail = 50 * (1 - confidence)
    low, high = np.percentile(scores, [tail, 100 - tail])
    return float(low), float(high)


def paired_difference(first: Statistic, second: Statistic, num_clips: int, num_samples: int = 2000,
                      confidence: float = 0.95, seed: int = 0) -> PairedDifference:
    """Difference of two models' scores, ``second - first``, with its interval: both are given the same draws.

    Args:
        first: Score of the first model.
        second: The same score of the second model; clip i must be the same for both.
        num_clips: As for :func:`bootstrap_interval`.
        num_samples: As for :func:`bootstrap_interval`.
        confidence: As for :func:`bootstrap_interval`.
        seed: As for :func:`bootstrap_interval`.

    Raises:
        ValueError: As :func:`bootstrap_interval`.
    """
    low, high = bootstrap_interval(lambda draws: second(draws) - first(draws), num_clips, num_samples=num_samples,
                                   confidence=confidence, seed=seed)
    value = evaluate_statistic(second, num_clips) - evaluate_statistic(first, num_clips)
    return PairedDifference(value, low, high, num_clips)


def draw_sums(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Sum the values of the clips of each list.

    Args:
        values: One row for each clip. Shape (n, ...), at most two axes.
        draws: Indices of clips. Shape (R, m).

    Returns:
        Shape (R, ...).
    """
    return np.stack([np.bincount(draw, minlength=len(values)) @ values for draw in draws])


def mean_statistic(sums: np.ndarray, counts: np.ndarray) -> Statistic:
    """The mean of values that come in unequal numbers from each clip.

    Args:
        sums: Sum of the values of each clip. Shape (n,), or (n, C) for C means.
        counts: Number of values of each clip. Same shape.

    Returns:
        Indices (R, m) -> means (R,) or (R, C); NaN where there is no value.
    """
    def statistic(draws: np.ndarray) -> np.ndarray:
        with np.errstate(invalid='ignore'):
            return draw_sums(sums, draws) / draw_sums(counts, draws)

    return statistic


def evaluate_statistic(statistic: Statistic, num_clips: int) -> float:
    """The score itself: every clip once, in order. NaN without clips."""
    return float(statistic(np.arange(num_clips)[None])[0]) if num_clips else float('nan')
