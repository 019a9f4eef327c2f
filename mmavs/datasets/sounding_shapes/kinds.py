"""The kinds of shapes: their outlines and the AVSS class each one stands for."""

from functools import cache

import cv2
import numpy as np

# Kind of shape -> its class in the AVSS layout. The order is part of the seeded recipe.
KIND_CLASSES = {
    'circle': 'drum',
    'square': 'piano',
    'triangle': 'bell',
    'star': 'guitar',
    'cross': 'helicopter',
    'ring': 'violin',
    'heart': 'baby',
    'crescent': 'bird',
}
KINDS = tuple(KIND_CLASSES)
# cv2 takes integer vertices; 4 fractional bits make motion smooth to 1/16 pixel.
_FRACTION_BITS = 4


def _arc(start: float, stop: float, radius: float = 1.0, centre_x: float = 0.0, points: int = 40) -> np.ndarray:
    angle = np.linspace(start, stop, points)
    return np.stack([centre_x + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _polygon(corners: int, radii: tuple[float, ...]) -> np.ndarray:
    angle = -np.pi / 2 + 2 * np.pi * np.arange(corners) / corners
    radius = np.resize(np.array(radii), corners)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _cross(arm: float = 0.36) -> np.ndarray:
    quarter = np.array([[arm, -arm], [1.0, -arm], [1.0, arm]])
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    corners = [quarter @ np.linalg.matrix_power(turn.T, k) for k in range(4)]
    return np.concatenate(corners)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t)**3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2.0], axis=1) / 15.0


def _crescent(bite_radius: float = 0.8, bite_x: float = 0.6) -> np.ndarray:
    """The unit disc without a second disc that is shifted to the right."""
    crossing = (1 + bite_x**2 - bite_radius**2) / (2 * bite_x)
    outer = np.arccos(crossing)
    inner = np.arctan2(np.sqrt(1 - crossing**2), crossing - bite_x)
    return np.concatenate([
        _arc(outer, 2 * np.pi - outer),
        _arc(2 * np.pi - inner, inner, radius=bite_radius, centre_x=bite_x)]) * 1.1


@cache
def outline(kind: str) -> tuple[np.ndarray, ...]:
    """The closed contours of a kind about the origin, with a radius of about 1; a second contour is a hole.

    Args:
        kind (str): One of ``KINDS``.

    Returns:
        tuple[np.ndarray]: Contours of shape (P, 2): x to the right, y down.

    Raises:
        ValueError: Unknown kind.
    """
    contours = {
        'circle': lambda: (_arc(0, 2 * np.pi),),
        'square': lambda: (_polygon(4, (1.2,)) @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2),),
        'triangle': lambda: (_polygon(3, (1.2,)),),
        'star': lambda: (_polygon(10, (1.2, 0.5)),),
        'cross': lambda: (_cross(),),
        'ring': lambda: (_arc(0, 2 * np.pi), _arc(0, 2 * np.pi, radius=0.55)),
        'heart': lambda: (_heart(),),
        'crescent': lambda: (_crescent(),),
    }
    if kind not in contours:
        raise ValueError(f'Unknown kind of shape {kind!r}; the kinds are {list(KINDS)}.')
    return contours[kind]()


def draw_shape(kind: str, centre: tuple[float, float], radius: float, angle: float,
               size: tuple[int, int]) -> np.ndarray:
    """Coverage of one shape, antialiased.

    Args:
        kind (str): One of ``KINDS``.
        centre (tuple[float]): (x, y) in pixels.
        radius (float): In pixels.
        angle (float): Clockwise turn in radians.
        size (tuple[int]): (H, W) of the picture.

    Returns:
        np.ndarray: Shape (H, W), uint8: 0 outside, 255 inside.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    contours = [
        np.round((contour @ turn * radius + np.asarray(centre)) * 2**_FRACTION_BITS).astype(np.int32)
        for contour in outline(kind)]
    coverage = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(coverage, contours, 255, lineType=cv2.LINE_AA, shift=_FRACTION_BITS)
    return coverage
