"""Paints the frames of a scene and says which shape each pixel shows."""

import colorsys

import cv2
import numpy as np

from .kinds import draw_shape
from .scene import Scene


def render_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paints every frame.

    Args:
        scene (Scene): A drawn scene of T frames and S shapes.
        rng (np.random.Generator): Source of colours, textures and grain.

    Returns:
        tuple[np.ndarray, np.ndarray]: Frames of shape (T, H, W, 3), uint8, BGR; and the visible shape of each pixel,
        shape (T, H, W), uint8: 0 background, s + 1 for shape s. A shape in front hides those behind.
    """
    height, width = scene.style.size
    background = _background(height, width, rng)
    paints = [_paint(background, rng) for _ in scene.kinds]
    frames = np.empty((scene.style.num_frames, height, width, 3), dtype=np.uint8)
    visible = np.zeros((scene.style.num_frames, height, width), dtype=np.uint8)
    for k in range(scene.style.num_frames):
        canvas = background * rng.uniform(0.94, 1.06)
        for s, kind in enumerate(scene.kinds):
            coverage = draw_shape(kind, tuple(scene.centres[k, s]), scene.radius[s], scene.angles[k, s],
                                  (height, width))
            _blend(canvas, coverage, paints[s], scene.centres[k, s], scene.radius[s])
            visible[k][coverage >= 128] = s + 1
        grain = rng.integers(-3, 4, size=(height, width, 1), dtype=np.int8)
        frames[k] = np.clip(canvas + grain, 0, 255)
    return frames, visible


def _smooth_noise(height: int, width: int, cells: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Random values in 0..1 on a coarse grid, enlarged smoothly. Shape (height, width, channels), float32."""
    grid = rng.random((cells, cells, channels), dtype=np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def _background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Two colours mixed by clouds, with a fine texture of stripes or blots. Shape (H, W, 3), float32, 0..255."""
    first, second = (np.array(_colour(rng, saturation=(0.1, 0.5), value=(0.2, 0.75)), dtype=np.float32)
                     for _ in range(2))
    clouds = _smooth_noise(height, width, int(rng.integers(3, 7)), 1, rng)
    fine = _smooth_noise(height, width, int(rng.integers(14, 40)), 1, rng) - 0.5
    if rng.random() < 0.5:
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.15) * min(height, width)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        fine = 0.5 * fine + 0.25 * np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)[..., None]
    return np.clip(first + (second - first) * clouds + 50 * fine, 0, 255).astype(np.float32)


def _colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> list[float]:
    """A random BGR colour, 0..255."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return [255 * blue, 255 * green, 255 * red]


def _paint(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour that stands out from the mean of the background; it says nothing about the kind. Shape (3,)."""
    mean = background.mean(axis=(0, 1))
    candidates = np.array([_colour(rng, saturation=(0.2, 1.0), value=(0.35, 1.0)) for _ in range(4)], np.float32)
    return candidates[np.linalg.norm(candidates - mean, axis=1).argmax()]


def _blend(canvas: np.ndarray, coverage: np.ndarray, paint: np.ndarray, centre: np.ndarray, radius: float) -> None:
    """Lays a shape over the canvas, in place: lit from the upper left, with a darker rim."""
    reach = int(1.3 * radius) + 2
    x0, y0 = np.maximum(centre.astype(int) - reach, 0)
    x1, y1 = centre.astype(int) + reach + 1
    alpha = coverage[y0:y1, x0:x1]
    y, x = np.mgrid[y0:y0 + alpha.shape[0], x0:x0 + alpha.shape[1]].astype(np.float32)
    light = 1.0 - 0.2 * ((x - centre[0]) + (y - centre[1])) / (2 * radius)
    rim = max(1, round(0.07 * radius))
    inside = cv2.erode(alpha, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8), borderType=cv2.BORDER_REPLICATE)
    light *= 0.55 + 0.45 * inside.astype(np.float32) / 255
    share = alpha[..., None].astype(np.float32) / 255
    region = canvas[y0:y1, x0:x1]
    region += share * (np.clip(paint * light[..., None], 0, 255) - region)
