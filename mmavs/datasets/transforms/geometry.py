"""Resizing, flipping and cropping. The frames of a clip share their random numbers unless ``per_frame`` is set.

Frames are lists of T arrays (H, W, 3), masks (when present) lists of T arrays (H, W). Masks are sampled by nearest
neighbour, or binary ones bilinearly, which makes shares of sounding of them. Random numbers come from ``np.random``,
which mmengine seeds in every worker.
"""

from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmavs.registry import TRANSFORMS

from .loading import IGNORE_INDEX

MASK_INTERPOLATIONS = ('nearest', 'bilinear_soft')


def check_scale(owner: str, scale: tuple[int, int]) -> tuple[int, int]:
    """A size as (width, height), both positive ints.

    Raises:
        ValueError: Anything else.
    """
    if not (isinstance(scale, (tuple, list)) and len(scale) == 2
            and all(isinstance(side, int) and side > 0 for side in scale)):
        raise ValueError(f'{owner}: scale must be two positive ints (width, height), got {scale!r}.')
    return tuple(scale)


def check_mask_interp(owner: str, mask_interp: str) -> str:
    """How masks are sampled: ``nearest`` or ``bilinear_soft``.

    Raises:
        ValueError: Anything else.
    """
    if mask_interp not in MASK_INTERPOLATIONS:
        raise ValueError(f'{owner}: mask_interp must be one of {list(MASK_INTERPOLATIONS)}, got {mask_interp!r}.')
    return mask_interp


def draw(num_frames: int, per_frame: bool, sample: Callable) -> list:
    """Random parameters for each of T frames: one draw for all, or with ``per_frame`` one draw for each."""
    if per_frame:
        return [sample() for _ in range(num_frames)]
    return [sample()] * num_frames


@TRANSFORMS.register_module()
class ClipResize(BaseTransform):
    """Resizes the frames (bilinear) and, if already loaded, the masks.

    Args:
        scale (tuple[int]): (width, height) in pixels.
        keep_ratio (bool): Take the largest size inside ``scale`` with the clip's own ratio. Defaults to False.
        mask_interp (str): ``nearest``, or for binary masks ``bilinear_soft``, which gives float32 shares of sounding
            in 0..1. Defaults to ``nearest``.

    Raises:
        ValueError: ``scale`` is not two positive ints, ``mask_interp`` is unknown, or (when called) soft masks are
            asked for of a clip whose masks hold classes.
    """

    def __init__(self, scale: tuple[int, int], keep_ratio: bool = False, mask_interp: str = 'nearest') -> None:
        self.scale = check_scale('ClipResize', scale)
        self.keep_ratio = keep_ratio
        self.mask_interp = check_mask_interp('ClipResize', mask_interp)

    def transform(self, results: dict) -> dict:
        """Resizes one clip; sets ``img_shape`` to the new (H, W)."""
        height, width = results['imgs'][0].shape[:2]
        size = self.scale
        if self.keep_ratio:
            factor = min(self.scale[0] / width, self.scale[1] / height)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
        results['imgs'] = [_resize(frame, size, cv2.INTER_LINEAR) for frame in results['imgs']]
        if 'gt_seg_maps' in results:
            resize = _mask_resizer(self, results)
            results['gt_seg_maps'] = [resize(mask, size) for mask in results['gt_seg_maps']]
        results['img_shape'] = (size[1], size[0])
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(scale={self.scale}, keep_ratio={self.keep_ratio}, '
                f'mask_interp={self.mask_interp!r})')


@TRANSFORMS.register_module()
class ClipRandomFlip(BaseTransform):
    """Mirrors a clip, left to right.

    Args:
        prob (float): Probability, 0..1. Defaults to 0.5.
        per_frame (bool): Draw for each frame. Defaults to False.

    Raises:
        ValueError: ``prob`` is not in 0..1.
    """

    def __init__(self, prob: float = 0.5, per_frame: bool = False) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'ClipRandomFlip: prob must be in 0..1, got {prob}.')
        self.prob = prob
        self.per_frame = per_frame

    def transform(self, results: dict) -> dict:
        """Flips one clip; sets ``flip`` (a list of T with ``per_frame``) and ``flip_direction``."""
        flips = draw(len(results['imgs']), self.per_frame, lambda: bool(np.random.rand() < self.prob))
        for key in ('imgs', 'gt_seg_maps'):
            if key in results:
                results[key] = [
                    np.ascontiguousarray(image[:, ::-1]) if flip else image
                    for image, flip in zip(results[key], flips, strict=True)]
        results['flip'] = flips if self.per_frame else flips[0]
        results['flip_direction'] = 'horizontal' if any(flips) else None
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, per_frame={self.per_frame})'


@TRANSFORMS.register_module()
class ClipRandomResizedCrop(BaseTransform):
    """Cuts a random window out of a clip and resizes it to ``scale``: random resize and crop in one step.

    Args:
        scale (tuple[int]): (width, height) of the result in pixels.
        area_range (tuple[float]): Share of the picture's area that the window covers. Defaults to (0.4, 1.0).
        ratio_range (tuple[float]): Width over height of the window. Defaults to (0.75, 1.333).
        per_frame (bool): Draw for each frame. Defaults to False.
        mask_interp (str): As for :class:`ClipResize`. Defaults to ``nearest``.

    Raises:
        ValueError: An argument is out of range; or (when called) masks were loaded at another size than the frames, or
            soft masks are asked for of a clip whose masks hold classes.
    """

    def __init__(self,
                 scale: tuple[int, int],
                 area_range: tuple[float, float] = (0.4, 1.0),
                 ratio_range: tuple[float, float] = (0.75, 4 / 3),
                 per_frame: bool = False,
                 mask_interp: str = 'nearest') -> None:
        self.scale = check_scale('ClipRandomResizedCrop', scale)
        self.mask_interp = check_mask_interp('ClipRandomResizedCrop', mask_interp)
        if not 0 < area_range[0] <= area_range[1] <= 1:
            raise ValueError(f'ClipRandomResizedCrop: area_range must rise within 0..1, got {tuple(area_range)}.')
        if not 0 < ratio_range[0] <= ratio_range[1]:
            raise ValueError(f'ClipRandomResizedCrop: ratio_range must rise from above 0, got {tuple(ratio_range)}.')
        self.area_range = tuple(area_range)
        self.ratio_range = tuple(ratio_range)
        self.per_frame = per_frame

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """A random window (top, left, height, width) in pixels; the whole picture if none of 10 draws fits in."""
        for _ in range(10):
            area = height * width * np.random.uniform(*self.area_range)
            ratio = np.exp(np.random.uniform(*np.log(self.ratio_range)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return np.random.randint(height - h + 1), np.random.randint(width - w + 1), h, w
        return 0, 0, height, width

    def transform(self, results: dict) -> dict:
        """Crops and resizes one clip; sets ``img_shape``."""
        height, width = results['imgs'][0].shape[:2]
        windows = draw(len(results['imgs']), self.per_frame, lambda: self.window(height, width))
        resizers = dict(imgs=lambda frame, size: _resize(frame, size, cv2.INTER_LINEAR),
                        gt_seg_maps=_mask_resizer(self, results))
        for key, resize in resizers.items():
            if key not in results:
                continue
            if results[key][0].shape[:2] != (height, width):
                raise ValueError(f'ClipRandomResizedCrop: the masks are {results[key][0].shape[:2]}, the frames '
                                 f'{(height, width)} (height, width); put LoadClipMasks before any resizing.')
            results[key] = [
                resize(image[top:top + h, left:left + w], self.scale)
                for image, (top, left, h, w) in zip(results[key], windows, strict=True)]
        results['img_shape'] = (self.scale[1], self.scale[0])
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(scale={self.scale}, area_range={self.area_range}, '
                f'ratio_range={self.ratio_range}, per_frame={self.per_frame}, mask_interp={self.mask_interp!r})')


def _resize(image: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """Resizes (H, W) or (H, W, 3) to ``size`` (width, height)."""
    if image.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(image)
    return cv2.resize(image, size, interpolation=interpolation)


def _mask_resizer(transform: BaseTransform, results: dict) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    """How the masks of a clip are resized under ``transform.mask_interp``."""
    if transform.mask_interp == 'nearest':
        return lambda mask, size: _resize(mask, size, cv2.INTER_NEAREST)
    if results.get('mask_format', 'binary') != 'binary':
        raise ValueError(f"{type(transform).__name__}: mask_interp='bilinear_soft' mixes neighbouring values, which "
                         "makes no sense for classes; use 'nearest'.")
    return _resize_soft


def _resize_soft(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shares of sounding, float32, of a binary mask (H, W); pixels without a label stay 255."""
    unlabelled = _resize((mask == IGNORE_INDEX).astype(np.uint8), size, cv2.INTER_NEAREST) == 1
    share = _resize(np.where(mask == IGNORE_INDEX, 0, mask).astype(np.float32), size, cv2.INTER_LINEAR)
    share[unlabelled] = IGNORE_INDEX
    return share
