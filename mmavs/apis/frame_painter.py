"""One picture of an overlay film: the frame, its mask between two instants, and the names of the classes."""

from fractions import Fraction

import cv2
import numpy as np

from mmavs.visualization.name_plate import name_plate
from mmavs.visualization.overlay import outline_regions, overlay

from .blending import InstantPrediction
from .labels import Labels

BETWEEN = ('blend', 'hold')
# Pixels of the shorter side for each pixel of the outline's white line, of the height for each pixel of the letters.
LINES_PER_OUTLINE = 180
LINES_PER_LETTER = 28
# Smaller letters cannot be read after the film was encoded.
SMALLEST_LETTERS = 13


class FramePainter:
    """Draws masks over frames.

    Args:
        labels: Names and colours of the classes.
        between: Between two instants, ``blend`` goes over from one probability map to the other, ``hold`` shows the
            mask of the nearer instant. Models with classes always hold. Default ``blend``.
        alpha: Weight of the colours, 0 to 1. Default 0.5.
        outline: Draw the regions' borders, a white line and a dark one. Default True.

    Raises:
        ValueError: If ``between`` is unknown.
    """

    def __init__(self, labels: Labels, between: str = 'blend', alpha: float = 0.5, outline: bool = True) -> None:
        if between not in BETWEEN:
            raise ValueError(f'between={between!r} must be one of {", ".join(BETWEEN)}.')
        self.labels, self.between, self.alpha, self.outline = labels, between, alpha, outline

    def mask(self, seconds: Fraction, size: tuple[int, int], before: InstantPrediction,
             after: InstantPrediction | None) -> np.ndarray:
        """The mask shown at a time between two instants.

        Args:
            seconds: The time.
            size: (height, width) of the frame; probabilities are resized bilinearly, classes by nearest neighbour.
            before: The instant before; for the film's beginning the first one.
            after: The instant after, None behind the last one.

        Returns:
            Shape (height, width), uint8.
        """
        share = 0.0
        if after is not None and after.seconds > before.seconds:
            share = min(max(float((seconds - before.seconds) / (after.seconds - before.seconds)), 0.0), 1.0)
        nearer = after if share > 0.5 else before
        if nearer.scores is None:
            return cv2.resize(nearer.mask, size[::-1], interpolation=cv2.INTER_NEAREST)
        scores = nearer.scores
        if self.between == 'blend' and 0 < share < 1:
            scores = (1 - share) * before.scores + share * after.scores
        if scores.shape != tuple(size):
            scores = cv2.resize(scores, size[::-1], interpolation=cv2.INTER_LINEAR)
        return (scores > self.labels.threshold).astype(np.uint8)

    def paint(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The frame with the mask over it and, for models with classes, the names of those that are seen.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.
            mask: Shape (H, W), uint8.

        Returns:
            Shape (H, W, 3), uint8, RGB.
        """
        picture = overlay(frame, mask, self.labels.palette, alpha=self.alpha)
        if self.outline:
            outline_regions(picture, mask, width=max(1, round(min(frame.shape[:2]) / LINES_PER_OUTLINE)))
        if self.labels.num_classes > 2:
            self._name_classes(picture, mask)
        return picture

    def _name_classes(self, picture: np.ndarray, mask: np.ndarray) -> None:
        """A plate for each class that is seen, the largest first, from the upper left corner down."""
        height, width = picture.shape[:2]
        counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()[:self.labels.num_classes]
        size, top = max(SMALLEST_LETTERS, round(height / LINES_PER_LETTER)), 4
        for index in np.argsort(-counts, kind='stable'):
            if index == 0 or not counts[index]:
                continue
            colour = tuple(int(value) for value in self.labels.palette[index])
            plate = name_plate(self.labels.classes[index], colour, size)[:height - top, :width - 4]
            picture[top:top + plate.shape[0], 4:4 + plate.shape[1]] = plate
            top += plate.shape[0] + 1
            if top + size > height:
                break
