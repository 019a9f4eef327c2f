"""One picture of an overlay film: the frame, its mask between two instants, and the names of the classes."""

from fractions import Fraction

import cv2
import numpy as np

from mmavs.visualization import overlay

from .blending import InstantPrediction
from .labels import Labels

BETWEEN = ('blend', 'hold')


class FramePainter:
    """Draws masks over frames.

    Args:
        labels: Names and colours of the classes.
        between: Between two instants, ``blend`` goes over from one probability map to the other, ``hold`` shows the
            mask of the nearer instant. Models with classes always hold. Default ``blend``.
        alpha: Weight of the colours, 0 to 1. Default 0.5.
        outline: Draw the regions' borders. Default True.

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
        outline = max(1, min(frame.shape[:2]) // 240) if self.outline else 0
        picture = overlay(frame, mask, self.labels.palette, alpha=self.alpha, outline=outline)
        if self.labels.num_classes > 2:
            self._name_classes(picture, mask)
        return picture

    def _name_classes(self, picture: np.ndarray, mask: np.ndarray) -> None:
        """A line for each class that is seen, the largest first, in the upper left corner."""
        counts = np.bincount(mask.reshape(-1), minlength=self.labels.num_classes)
        seen = [index for index in np.argsort(-counts, kind='stable') if index and counts[index]]
        scale = max(0.3, picture.shape[0] / 720)
        line = round(26 * scale)
        for place, index in enumerate(seen[:max(1, picture.shape[0] // (line + 4))]):
            name = self.labels.classes[index]
            width = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, 1)[0][0]
            top = 4 + place * line
            cv2.rectangle(picture, (4, top), (4 + line + width + 6, top + line - 1), (20, 20, 20), -1)
            colour = tuple(int(value) for value in self.labels.palette[index])
            cv2.rectangle(picture, (6, top + 2), (6 + line - 5, top + line - 4), colour, -1)
            cv2.putText(picture, name, (8 + line - 3, top + round(line * 0.72)), cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale,
                        (255, 255, 255), 1, cv2.LINE_AA)
