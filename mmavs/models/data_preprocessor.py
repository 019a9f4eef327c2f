"""From a list of clips to one batch of frames. N = sum of T over the B clips; there is no padding."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmavs.registry import MODELS
from mmavs.utils.arguments import check_numbers


@MODELS.register_module()
class AVDataPreprocessor(BaseDataPreprocessor):
    """Concatenates clips along time, normalises the frames and moves everything to the model's device.

    Clips of different length stand one after the other, and ``clip_lengths`` says where each begins, so a clip's
    prediction cannot depend on the clips beside it.

    Args:
        mean (Sequence[float]): Mean of the 3 channels in the order that the model sees (RGB by default), in 0..255.
            Defaults to ImageNet's.
        std (Sequence[float]): Standard deviation of the 3 channels, same order and unit, all above 0.
            Defaults to ImageNet's.
        bgr_to_rgb (bool): The loaded frames are BGR and the model wants RGB. Defaults to True.
        non_blocking (bool): Copy to the device without waiting. Defaults to False.

    Raises:
        ValueError: ``mean`` or ``std`` has not 3 values, or a ``std`` is not above 0.
    """

    def __init__(self,
                 mean: Sequence[float] = (123.675, 116.28, 103.53),
                 std: Sequence[float] = (58.395, 57.12, 57.375),
                 bgr_to_rgb: bool = True,
                 non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        for name, values in (('mean', mean), ('std', std)):
            check_numbers(f'{name} of AVDataPreprocessor (one per channel)', values, 3)
        if min(std) <= 0:
            raise ValueError(f'AVDataPreprocessor: std must be above 0, got {list(std)}.')
        self.bgr_to_rgb = bgr_to_rgb
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Makes a model's input of a collated batch.

        Args:
            data (dict): ``inputs=dict(img=[...], audio=[...])`` with, per clip, ``img`` of shape (T, 3, H, W) (uint8 or
                float, BGR) and ``audio`` of shape (T, 1, 96, 64); optionally ``data_samples=[...]``.
            training (bool): Unused; part of mmengine's interface. Defaults to False.

        Returns:
            dict: ``inputs=dict(img=(N, 3, H, W) float32, audio=(N, 1, 96, 64) float32, clip_lengths=[T_1, .., T_B])``
            and ``data_samples`` (None where the batch has none).

        Raises:
            KeyError: ``img`` or ``audio`` is missing from the inputs.
            ValueError: Shapes do not fit: the message names the clip.
        """
        data = self.cast_data(data)
        inputs, samples = data['inputs'], data.get('data_samples')
        for key, maker in (('img', 'LoadClipFrames'), ('audio', 'LogMelSpectrogram')):
            if key not in inputs:
                raise KeyError(f"The batch has no inputs['{key}']: put {maker} before PackAVSInputs in the pipeline.")
        frames, audio = list(inputs['img']), list(inputs['audio'])
        _check_clips(frames, audio, [_clip_name(samples, i) for i in range(len(frames))])
        img = torch.cat(frames)
        if self.bgr_to_rgb:
            img = img.flip(1)
        img = (img.float() - self.mean) / self.std
        clip_lengths = [clip.shape[0] for clip in frames]
        return dict(
            inputs=dict(img=img, audio=torch.cat(audio).float(), clip_lengths=clip_lengths), data_samples=samples)


def _clip_name(samples: Sequence | None, index: int) -> str:
    """The name by which a user knows clip ``index`` of the batch."""
    video_id = samples[index].get('video_id') if samples and index < len(samples) else None
    return f'clip {video_id!r}' if video_id is not None else f'clip {index} of the batch'


def _check_clips(frames: list[Tensor], audio: list[Tensor], names: list[str]) -> None:
    """Refuses batches that cannot be concatenated, with the clip's name."""
    if not frames or len(frames) != len(audio):
        raise ValueError(f'The batch has {len(frames)} clips of frames and {len(audio)} of audio; '
                         'there must be as many of both, and at least one.')
    for img, mel, name in zip(frames, audio, names, strict=True):
        if img.ndim != 4 or img.shape[0] == 0 or img.shape[1] != 3:
            raise ValueError(f'The frames of {name} have shape {tuple(img.shape)}; expected (T, 3, H, W) with T > 0.')
        if mel.ndim != 4 or tuple(mel.shape[1:]) != (1, 96, 64):
            raise ValueError(f'The audio of {name} has shape {tuple(mel.shape)}; expected (T, 1, 96, 64).')
        if img.shape[0] != mel.shape[0]:
            raise ValueError(f'{name} has {img.shape[0]} frames and {mel.shape[0]} log-mel examples; each frame needs '
                             'its own (LogMelSpectrogram pads and cuts to the number of frames).')
        if img.shape[2:] != frames[0].shape[2:]:
            raise ValueError(
                f'The frames of one batch differ in size: {names[0]} has {tuple(frames[0].shape[2:])}, {name} has '
                f'{tuple(img.shape[2:])} (height, width); end the pipeline with ClipResize(scale=(w, h), '
                'keep_ratio=False), or use a batch size of 1.')
