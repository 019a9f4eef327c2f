"""Putting the predictions of overlapping clips together, instant by instant.

Letters: H, W size of a prediction in pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class InstantPrediction:
    """What is predicted for one instant of a recording.

    Attributes:
        index: Number of the instant, from 0.
        seconds: Its time.
        mask: Class of each pixel, 0 is background. Shape (H, W), uint8.
        scores: Binary models: probability of sounding. Shape (H, W), float32. None for models with classes.
    """

    index: int
    seconds: Fraction
    mask: np.ndarray
    scores: np.ndarray | None


class Blender:
    """Weighs what several clips say about the same instant.

    A clip weighs 1 at its first and last frame and more towards its middle, where the model has seen frames on both
    sides. Probabilities are averaged and compared with the threshold; classes are voted on, pixel by pixel.

    Args:
        threshold: A pixel sounds where its probability is above this. Default 0.5.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._pending: dict[int, tuple[Fraction, list[tuple[int, np.ndarray]]]] = {}
        self._settled = 0

    def add(self, indices: Sequence[int], times: Sequence[Fraction], values: np.ndarray) -> None:
        """Take in one clip.

        Args:
            indices: Numbers of the instants of its T frames.
            times: Their times in seconds.
            values: Probabilities (float) or classes (uint8). Shape (T, H, W).
        """
        for place, (index, seconds, value) in enumerate(zip(indices, times, values, strict=True)):
            if index >= self._settled:
                weight = min(place + 1, len(indices) - place)
                self._pending.setdefault(index, (seconds, []))[1].append((weight, value))

    def settle(self, until: int) -> Iterator[InstantPrediction]:
        """Give out, in order, the instants before ``until``; later clips do not change them."""
        for index in sorted(index for index in self._pending if index < until):
            seconds, votes = self._pending.pop(index)
            if np.issubdtype(votes[0][1].dtype, np.floating):
                scores = _mean(votes)
                yield InstantPrediction(index, seconds, (scores > self.threshold).astype(np.uint8), scores)
            else:
                yield InstantPrediction(index, seconds, _vote(votes), None)
        self._settled = max(self._settled, until)


def _mean(votes: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Weighted mean of probabilities. Shape (H, W), float32."""
    if len(votes) == 1:
        return votes[0][1].astype(np.float32, copy=False)
    total = sum(weight for weight, _ in votes)
    return sum(value.astype(np.float32) * np.float32(weight / total) for weight, value in votes)


def _vote(votes: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """The class with the greatest weight at each pixel, the earlier clip's where two are equal. Shape (H, W), uint8."""
    if len(votes) == 1:
        return votes[0][1]
    best, winner = np.zeros(votes[0][1].shape, np.int32), votes[0][1].copy()
    for _, candidate in votes:
        support = sum(weight * (value == candidate) for weight, value in votes)
        winner = np.where(support > best, candidate, winner)
        best = np.maximum(best, support)
    return winner
