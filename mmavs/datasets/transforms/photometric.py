"""Changes of brightness, contrast, saturation and hue. The frames of a clip share them unless ``per_frame`` is set."""

from dataclasses import dataclass

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmavs.registry import TRANSFORMS

from .geometry import draw


@dataclass(frozen=True)
class Distortion:
    """One draw: brightness is added; contrast and saturation multiply; hue is added, in halves of a degree."""

    brightness: float
    contrast: float
    contrast_first: bool
    saturation: float
    hue: int


@TRANSFORMS.register_module()
class ClipPhotoMetricDistortion(BaseTransform):
    """Random brightness, contrast, saturation and hue, each applied with probability 0.5, as mmseg's for images.

    Args:
        brightness_delta (float): Largest shift, in 0..255. Defaults to 32.
        contrast_range (tuple[float]): Factors. Defaults to (0.5, 1.5).
        saturation_range (tuple[float]): Factors. Defaults to (0.5, 1.5).
        hue_delta (int): Largest shift, in 0..90 halves of a degree. Defaults to 18.
        per_frame (bool): Draw for each frame. Defaults to False.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self,
                 brightness_delta: float = 32,
                 contrast_range: tuple[float, float] = (0.5, 1.5),
                 saturation_range: tuple[float, float] = (0.5, 1.5),
                 hue_delta: int = 18,
                 per_frame: bool = False) -> None:
        if not 0 <= brightness_delta <= 255 or not 0 <= hue_delta <= 90:
            raise ValueError('ClipPhotoMetricDistortion: brightness_delta must be in 0..255 and hue_delta in 0..90, '
                             f'got {brightness_delta} and {hue_delta}.')
        for name, factors in (('contrast_range', contrast_range), ('saturation_range', saturation_range)):
            if not 0 <= factors[0] <= factors[1]:
                raise ValueError(f'ClipPhotoMetricDistortion: {name} must rise from 0 up, got {tuple(factors)}.')
        self.brightness_delta = brightness_delta
        self.contrast_range = tuple(contrast_range)
        self.saturation_range = tuple(saturation_range)
        self.hue_delta = hue_delta
        self.per_frame = per_frame

    def sample(self) -> Distortion:
        """Draws one distortion."""

        def half(value: float, neutral: float) -> float:
            return value if np.random.randint(2) else neutral

        return Distortion(
            brightness=half(np.random.uniform(-self.brightness_delta, self.brightness_delta), 0.0),
            contrast=half(np.random.uniform(*self.contrast_range), 1.0),
            contrast_first=bool(np.random.randint(2)),
            saturation=half(np.random.uniform(*self.saturation_range), 1.0),
            hue=int(half(np.random.randint(-self.hue_delta, self.hue_delta + 1), 0)))

    def transform(self, results: dict) -> dict:
        """Distorts the frames of one clip."""
        distortions = draw(len(results['imgs']), self.per_frame, self.sample)
        results['imgs'] = [distort(frame, d) for frame, d in zip(results['imgs'], distortions, strict=True)]
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(brightness_delta={self.brightness_delta}, '
                f'contrast_range={self.contrast_range}, saturation_range={self.saturation_range}, '
                f'hue_delta={self.hue_delta}, per_frame={self.per_frame})')


def distort(frame: np.ndarray, d: Distortion) -> np.ndarray:
    """Applies one distortion to a frame (H, W, 3), uint8, BGR; the result is clipped to 0..255."""
    frame = _scale(frame, 1.0, d.brightness)
    if d.contrast_first:
        frame = _scale(frame, d.contrast, 0.0)
    if d.saturation != 1.0 or d.hue != 0:
        hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
        hsv[..., 1] = _scale(hsv[..., 1], d.saturation, 0.0)
        hsv[..., 0] = (hsv[..., 0].astype(int) + d.hue) % 180
        frame = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not d.contrast_first:
        frame = _scale(frame, d.contrast, 0.0)
    return frame


def _scale(image: np.ndarray, factor: float, offset: float) -> np.ndarray:
    if factor == 1.0 and offset == 0.0:
        return image
    return np.clip(image.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)
