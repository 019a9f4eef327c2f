"""The last step of a pipeline: from the loading dict to tensors and one ``AVDataSample``."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from mmavs.registry import TRANSFORMS
from mmavs.structures import AVDataSample


@TRANSFORMS.register_module()
class PackAVSInputs(BaseTransform):
    """Packs a clip of T frames for the model.

    Reads ``imgs`` (list of T arrays (H, W, 3), uint8, BGR), ``audio`` ((T, 1, 96, 64) float32, may be absent) and
    ``gt_seg_maps`` (list of T arrays (H', W'), uint8, or float32 where they hold shares of sounding; may be absent).

    Args:
        meta_keys (Sequence[str]): Entries of the dict that are copied to the sample's meta information; one that is
            absent is left out.

    Returns (of ``transform``):
        dict: ``inputs=dict(img=(T, 3, H, W) uint8, audio=(T, 1, 96, 64) float32)`` and ``data_samples``, an
        ``AVDataSample`` whose ``gt_sem_seg.data`` is (T, H', W'), uint8 or float32.

    Raises:
        KeyError: There are no frames.
        ValueError: Frames (or masks) of one clip differ in size, or T differs between frames, masks and audio.
    """

    def __init__(self,
                 meta_keys: Sequence[str] = ('video_id', 'sample_idx', 'category', 'subset', 'split', 'img_path',
                                             'seg_map_path', 'audio_path', 'sound', 'ori_shape', 'img_shape',
                                             'flip', 'flip_direction')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Packs one clip; see the class."""
        if 'imgs' not in results:
            raise KeyError("The clip has no 'imgs': put LoadClipFrames before PackAVSInputs in the pipeline.")
        name = results.get('video_id')
        frames = _stack(results['imgs'], 'frames', name)
        inputs = dict(img=torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))))
        if 'audio' in results:
            _check_length(len(results['audio']), len(frames), 'log-mel examples', name)
            inputs['audio'] = torch.from_numpy(np.ascontiguousarray(results['audio'], dtype=np.float32))
        sample = AVDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if 'gt_seg_maps' in results:
            masks = _stack(results['gt_seg_maps'], 'masks', name)
            _check_length(len(masks), len(frames), 'masks', name)
            kind = np.float32 if np.issubdtype(masks.dtype, np.floating) else np.uint8
            sample.gt_sem_seg = PixelData(data=torch.from_numpy(masks.astype(kind, copy=False)))
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def _stack(arrays: Sequence[np.ndarray], what: str, name: str | None) -> np.ndarray:
    """Stacks the T arrays of a clip, which must be of one size."""
    shapes = sorted({array.shape[:2] for array in arrays})
    if len(shapes) != 1:
        raise ValueError(f'The {what} of clip {name!r} have the sizes {shapes} (height, width); all must be equal, '
                         'and there must be at least one.')
    return np.stack(arrays)


def _check_length(length: int, num_frames: int, what: str, name: str | None) -> None:
    if length != num_frames:
        raise ValueError(f'Clip {name!r} has {num_frames} frames and {length} {what}; there must be one for each.')
