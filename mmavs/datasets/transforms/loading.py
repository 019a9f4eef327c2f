"""Loads the frames and the masks of a clip of T frames."""

from functools import partial

import numpy as np
from mmcv.transforms import BaseTransform

from mmavs.datasets.errors import DataFileError
from mmavs.registry import TRANSFORMS

from .files import MASK_READERS, read_binary_mask, read_frame

IGNORE_INDEX = 255


@TRANSFORMS.register_module()
class LoadClipFrames(BaseTransform):
    """Loads ``img_path`` (list of T) into ``imgs``, T arrays of shape (H, W, 3), uint8, BGR.

    Sets ``ori_shape`` and ``img_shape`` to (H, W) and ``flip`` to False.

    Raises:
        DataFileError: A frame is missing, damaged, or not of the size of the first; the message names the file.
    """

    def transform(self, results: dict) -> dict:
        """Loads one clip; see the class."""
        paths = results['img_path']
        frames = [read_frame(path) for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            if frame.shape != frames[0].shape:
                raise DataFileError(f'{path} is {_size(frame)} pixels, the first frame of the clip is '
                                    f'{_size(frames[0])}; the frames of a clip must be of one size.')
        results['imgs'] = frames
        results['ori_shape'] = results['img_shape'] = frames[0].shape[:2]
        results['flip'], results['flip_direction'] = False, None
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadClipMasks(BaseTransform):
    """Loads ``seg_map_path`` (list of T, None for a frame without a label) into ``gt_seg_maps``.

    The result is a list of T arrays of shape (H, W), uint8, at the frames' original size: binary 0 or 1, AVSS 0..70; a
    frame without a label is 255 all over. ``mask_format`` in the dict says how the files are to be read: ``binary``
    (the default), ``index`` or ``palette``. A clip without ``seg_map_path`` passes unchanged, for inference.

    Put it behind ``ClipResize`` in test pipelines: the ground truth then keeps its original size.

    Args:
        size_mismatch (str): What to do with a mask that is not of the frames' size: ``raise``, or ``resize`` (nearest
            neighbour). Defaults to ``raise``.
        other_values (str): What to do with a binary mask that holds more than 0 and 1, or 0 and 255, e.g. after a lossy
            copy: ``raise``, or ``threshold``, which takes 128 and above as foreground. Defaults to ``raise``.

    Raises:
        ValueError: Unknown ``size_mismatch`` or ``other_values``.
        DataFileError: A mask is missing, damaged, of another size, or holds values outside the classes; the message
            names the file.
    """

    def __init__(self, size_mismatch: str = 'raise', other_values: str = 'raise') -> None:
        for name, value, cure in (('size_mismatch', size_mismatch, 'resize'),
                                  ('other_values', other_values, 'threshold')):
            if value not in ('raise', cure):
                raise ValueError(f"LoadClipMasks: {name} must be 'raise' or {cure!r}, got {value!r}.")
        self.size_mismatch = size_mismatch
        self.other_values = other_values

    def transform(self, results: dict) -> dict:
        """Loads the masks of one clip; see the class."""
        paths = results.get('seg_map_path')
        if paths is None:
            return results
        kind = results.get('mask_format', 'binary')
        read = partial(read_binary_mask, other_values=self.other_values) if kind == 'binary' else MASK_READERS[kind]
        shape = tuple(results['ori_shape'])
        results['gt_seg_maps'] = [
            np.full(shape, IGNORE_INDEX, dtype=np.uint8) if path is None else self._fit(read(path), shape, path)
            for path in paths]
        return results

    def _fit(self, mask: np.ndarray, shape: tuple[int, int], path: str) -> np.ndarray:
        if mask.shape == shape:
            return mask
        if self.size_mismatch == 'raise':
            raise DataFileError(
                f"{path} is {_size(mask)} pixels, its frame {shape[1]}x{shape[0]}; restore the mask, or set "
                "LoadClipMasks(size_mismatch='resize').")
        rows, columns = (np.arange(new) * old // new for new, old in zip(shape, mask.shape, strict=True))
        return mask[rows[:, None], columns]

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size_mismatch={self.size_mismatch!r}, '
                f'other_values={self.other_values!r})')


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
