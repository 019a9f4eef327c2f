"""From a clip in memory to the input of a model, by the config's own test pipeline."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.config import Config

from mmavs.datasets.transforms import ClipResize, LoadClipFrames, LoadClipMasks, LogMelSpectrogram
from mmavs.registry import TRANSFORMS

from .clips import Clip
from .stage_timer import StageTimer


class ClipPipeline:
    """The transforms of a test pipeline without those that read files.

    Args:
        transforms: Built transforms; loading ones are left out.
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = [transform for transform in transforms
                           if not isinstance(transform, (LoadClipFrames, LoadClipMasks))]

    @classmethod
    def from_config(cls, cfg: Config) -> 'ClipPipeline':
        """Take ``test_dataloader.dataset.pipeline`` or ``test_pipeline`` from a config.

        Raises:
            ValueError: If the config has neither.
        """
        loader = cfg.get('test_dataloader') or {}
        pipeline = loader.get('dataset', {}).get('pipeline') or cfg.get('test_pipeline')
        if not pipeline:
            raise ValueError('The config has neither test_dataloader.dataset.pipeline nor test_pipeline, so it does '
                             'not say how frames and sound are prepared.')
        return cls([TRANSFORMS.build(transform) for transform in pipeline])

    def shrink(self, picture: np.ndarray) -> np.ndarray:
        """Resize one picture as the pipeline will, so that only small pictures wait for their clip to be full.

        Args:
            picture: Shape (H, W, 3), uint8, RGB.

        Returns:
            Shape (h, w, 3), uint8, BGR; the pipeline's own resizing then leaves it as it is.
        """
        results = dict(imgs=[np.ascontiguousarray(picture[..., ::-1])])
        first = self.transforms[0] if self.transforms else None
        if isinstance(first, ClipResize):
            results = first(results)
        return results['imgs'][0]

    def __call__(self, clip: Clip, size: tuple[int, int], timer: StageTimer) -> dict:
        """Prepare one clip.

        Args:
            clip: Frames and sound.
            size: (height, width) that the model is to predict at.
            timer: Takes down the time for the log-mel.

        Returns:
            What ``PackAVSInputs`` makes: ``inputs`` and ``data_samples``.
        """
        results = dict(imgs=clip.frames, waveform=clip.waveform, sample_rate=clip.rate, video_id=clip.name,
                       ori_shape=tuple(size), img_shape=clip.frames[0].shape[:2], flip=False, flip_direction=None)
        for transform in self.transforms:
            with timer('log-mel' if isinstance(transform, LogMelSpectrogram) else 'prepare'):
                results = transform(results)
        return results
