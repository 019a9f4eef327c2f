"""Masks over dimmed frames, and the colours that stand beside them."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmavs.visualization.colours import IGNORE_INDEX, LIGHT_LINE
from mmavs.visualization.overlay import dim, fit_mask, overlay


def highlight(frame: np.ndarray, mask: np.ndarray, palette: np.ndarray | list | tuple | None = None,
              alpha: float = 0.6, outline: int = 2) -> np.ndarray:
    """A mask in colour with a white border over the dimmed frame: told apart from the scene whatever its colours.

    Args:
        frame: RGB picture. Shape (H, W, 3), uint8.
        mask: Class indices; 0 and 255 (no label) are not drawn. Shape (h, w).
        palette: As for :func:`overlay`.
        alpha: Weight of the colour, 0 to 1. Default 0.6.
        outline: Width of the border in pixels. Default 2.

    Returns:
        A new picture. Shape (H, W, 3), uint8.
    """
    mask = fit_mask(mask, frame.shape[:2])
    drawn = ((mask > 0) & (mask != IGNORE_INDEX))[..., None]
    # Bright grey below a colour: over a green object the colour of class 1 should not look like class 2's.
    base = np.where(drawn, dim(frame, 1.0, 0.15), dim(frame))
    return overlay(base, mask, palette, alpha, outline, LIGHT_LINE)


def highlight_small(frame: np.ndarray, mask: np.ndarray, size: tuple[int, int],
                    palette: np.ndarray | list | tuple | None = None) -> np.ndarray:
    """:func:`highlight` in another size, drawn twice as large and shrunk: so the borders are smooth.

    Args:
        frame: RGB picture. Shape (H, W, 3), uint8.
        mask: Class indices. Shape (h, w).
        size: (height, width) of the result in pixels.
        palette: As for :func:`overlay`.

    Returns:
        Shape (*size, 3), uint8.
    """
    large = cv2.resize(frame, (2 * size[1], 2 * size[0]), interpolation=cv2.INTER_AREA)
    return cv2.resize(highlight(large, mask, palette), size[::-1], interpolation=cv2.INTER_AREA)


def class_legend(masks: Sequence[np.ndarray], classes: Sequence[str],
                 palette: np.ndarray | Sequence) -> list[tuple[np.ndarray, str]]:
    """Colour and name of each class that occurs in masks, in the order of the classes.

    Args:
        masks: Class indices, of any sizes; 0 and 255 (no label) are left out.
        classes: Names, background first.
        palette: RGB colour of each class. Shape (C, 3).

    Returns:
        (colour, name) pairs, as :class:`Page` takes them for its legend.
    """
    present = {int(index) for mask in masks for index in np.unique(mask)} - {0, IGNORE_INDEX}
    return [(np.asarray(palette[index]), str(classes[index])) for index in sorted(present) if index < len(classes)]
