"""Segmentor of frames and sound.

Letters: B clips, T frames of a clip, N frames of the batch (the sum of T), C classes, H and W a clip's original size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import add_prefix
from torch import Tensor

from mmavs.models.layers.clip_grouping import check_clip_lengths
from mmavs.registry import MODELS
from mmavs.structures import AVDataSample

FLIP_DIMS = dict(horizontal=(2,), vertical=(1,), diagonal=(1, 2))


@MODELS.register_module()
class AVSegmentor(EncoderDecoder):
    """Visual backbone, audio backbone, neck and decode head on batches of clips.

    A batch is the concatenation of its clips along time, with the lengths beside it; there is no padding, and a clip's
    prediction does not depend on the other clips.

    Args:
        backbone: Config of the visual backbone: (N, 3, h, w) to four maps at strides 4, 8, 16, 32.
        audio_backbone: Config of the audio backbone: log-mels (N, 1, 96, 64) to embeddings (N, channels).
        decode_head: Config of the decode head, see :class:`MADHead`.
        neck: Config of the neck, called with the maps and the clip lengths. Without one the backbone's maps go straight
            to the head and must have its channels. Default: None.
        data_preprocessor: Config of the data preprocessor, see :class:`AVDataPreprocessor`. Default: None.
        train_cfg: Not used; part of mmseg's interface. Default: None.
        test_cfg: ``dict(mode='whole', clip_by_clip=True)``, or part of it. With ``clip_by_clip`` (default) ``predict``
            runs the network on one clip at a time, and a prediction is the same bit by bit whatever else is in the
            batch. False runs it on the whole batch, which a GPU may do faster: matrix products of another number of
            rows round differently, so probabilities then differ by some 1e-6 between batches. Default: None.
        init_cfg: mmengine's initialisation config. Default: None.

    Raises:
        ValueError: If neck and head do not fit, or ``test_cfg`` has another key or asks for a sliding window.
    """

    def __init__(self, backbone: dict, audio_backbone: dict, decode_head: dict, neck: dict | None = None,
                 data_preprocessor: dict | None = None, train_cfg: dict | None = None, test_cfg: dict | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        settings = dict(mode='whole', clip_by_clip=True) | dict(test_cfg or {})
        if set(settings) != {'mode', 'clip_by_clip'}:
            raise ValueError(f'test_cfg of AVSegmentor may have the keys mode and clip_by_clip, but has '
                             f'{", ".join(test_cfg)}')
        if settings['mode'] != 'whole':
            raise ValueError("AVSegmentor predicts whole frames: test_cfg.mode must be 'whole', but got "
                             f"{settings['mode']!r}")
        super().__init__(backbone=backbone, decode_head=decode_head, neck=neck, train_cfg=train_cfg,
                         test_cfg=test_cfg, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.clip_by_clip = bool(settings['clip_by_clip'])
        self.audio_backbone = MODELS.build(audio_backbone)
        neck_channels = getattr(self.neck, 'out_channels', None) if self.with_neck else None
        head_channels = tuple(self.decode_head.in_channels)
        if isinstance(neck_channels, int) and set(head_channels) != {neck_channels}:
            raise ValueError(f'neck.out_channels={neck_channels} does not fit '
                             f'decode_head.in_channels={head_channels}: they must be equal')

    def extract_feat(self, inputs: dict) -> tuple[Sequence[Tensor], Tensor]:
        """Visual and audio features.

        Args:
            inputs: ``img`` (N, 3, h, w), ``audio`` (N, 1, 96, 64) and optionally ``clip_lengths`` [T_1, ..., T_B].

        Returns:
            Four maps of shapes (N, D, h_i, w_i), and the audio embeddings of shape (N, channels).

        Raises:
            ValueError: If an input is missing or the frame numbers differ.
        """
        _check_inputs(inputs)
        feats = self.backbone(inputs['img'])
        if self.with_neck:
            feats = self.neck(feats, inputs.get('clip_lengths'))
        return feats, self.audio_backbone(inputs['audio'])

    def loss(self, inputs: dict, data_samples: Sequence[AVDataSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: As in :meth:`extract_feat`.
            data_samples: One for each clip, with ``gt_sem_seg``.

        Returns:
            The head's losses with the prefix ``decode.``.
        """
        feats, audio = self.extract_feat(inputs)
        return add_prefix(self.decode_head.loss(feats, audio, inputs.get('clip_lengths'), data_samples), 'decode')

    def predict(self, inputs: dict, data_samples: Sequence[AVDataSample] | None = None) -> list[AVDataSample]:
        """Masks of every clip at its original size.

        Args:
            inputs: As in :meth:`extract_feat`.
            data_samples: One for each clip; ``ori_shape``, ``flip`` (one value, or one for each frame) and
                ``flip_direction`` are read. Default: new ones, predicted at the size of the logits.

        Returns:
            The samples with ``pred_sem_seg.data`` (T, H, W) uint8 and, from a head with one channel,
            ``pred_scores.data`` (T, H, W) float32, the probability of sounding, and ``seg_logits.data`` (T, h, w), the
            head's own logits, not flipped, for a metric that scores at another size than the masks'.

        Raises:
            ValueError: If an input is missing or does not fit the others, there are not as many samples as clips, or
                ``flip`` or ``flip_direction`` do not fit.
        """
        _check_inputs(inputs)
        lengths = check_clip_lengths(inputs.get('clip_lengths'), inputs['img'].shape[0])
        samples = list(data_samples) if data_samples is not None else [AVDataSample() for _ in lengths]
        if len(samples) != len(lengths):
            raise ValueError(f'the batch has {len(lengths)} clips but {len(samples)} data samples')
        if self.clip_by_clip:
            clips = zip(inputs['img'].split(lengths), inputs['audio'].split(lengths), lengths, strict=True)
            logits = (self.encode_decode(dict(img=img, audio=audio, clip_lengths=[length]))
                      for img, audio, length in clips)
        else:
            logits = self.encode_decode(inputs).split(lengths)
        for sample, clip_logits in zip(samples, logits, strict=True):
            self._fill_prediction(sample, clip_logits)
        return samples

    def encode_decode(self, inputs: dict, batch_img_metas: Sequence[dict] | None = None) -> Tensor:
        """Logits of the last layer.

        Args:
            inputs: As in :meth:`extract_feat`.
            batch_img_metas: Not used; part of mmseg's interface.

        Returns:
            Shape (N, C, h, w).
        """
        feats, audio = self.extract_feat(inputs)
        return self.decode_head.predict(feats, audio, inputs.get('clip_lengths'))

    def _forward(self, inputs: dict, data_samples: Sequence[AVDataSample] | None = None) -> Tensor | list[Tensor]:
        """What the head's ``forward`` returns: logits, in training a list with those of every supervised layer."""
        feats, audio = self.extract_feat(inputs)
        return self.decode_head(feats, audio, inputs.get('clip_lengths'))

    def _fill_prediction(self, sample: AVDataSample, logits: Tensor) -> None:
        """Write one clip's prediction into its sample; logits of shape (T, C, h, w)."""
        logits = _undo_flips(logits, sample.get('flip', False), sample.get('flip_direction'))
        size = tuple(sample.get('ori_shape', logits.shape[2:]))[:2]
        masks = torch.empty((len(logits), *size), dtype=torch.uint8, device=logits.device)
        scores = torch.empty(masks.shape, device=logits.device) if logits.shape[1] == 1 else None
        # Frame by frame: the logits of 71 classes at original size are large.
        for t, frame in enumerate(logits):
            frame = frame.float()
            if frame.shape[1:] != size:
                frame = F.interpolate(frame[None], size=size, mode='bilinear', align_corners=False)[0]
            if scores is None:
                masks[t] = frame.argmax(dim=0)
            else:
                scores[t] = frame[0].sigmoid()
                masks[t] = scores[t] > self.decode_head.threshold
        sample.pred_sem_seg = PixelData(data=masks)
        if scores is not None:
            sample.pred_scores = PixelData(data=scores)
            sample.seg_logits = PixelData(data=logits[:, 0])


def _check_inputs(inputs: dict) -> None:
    """Refuse inputs that the data preprocessor of this package did not make."""
    if not isinstance(inputs, dict) or not {'img', 'audio'} <= set(inputs):
        found = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        raise ValueError("AVSegmentor needs inputs=dict(img=..., audio=..., clip_lengths=...), which "
                         f"data_preprocessor=dict(type='mmavs.AVDataPreprocessor') makes, but got {found}")
    frames, log_mels = inputs['img'].shape[0], inputs['audio'].shape[0]
    if frames != log_mels:
        raise ValueError(f'each frame needs its own log-mel, but the batch has {frames} frames and {log_mels} log-mels')


def _undo_flips(logits: Tensor, flip: bool | Sequence[bool], direction: str | None) -> Tensor:
    """Flip frames back.

    Args:
        logits: Shape (T, C, h, w).
        flip: Whether the clip was flipped, or one value for each frame.
        direction: ``'horizontal'``, ``'vertical'`` or ``'diagonal'``; None, where nothing was flipped.

    Returns:
        Shape (T, C, h, w); ``logits`` themselves where nothing was flipped.
    """
    flips = [flip] * len(logits) if isinstance(flip, bool) else list(flip)
    if len(flips) != len(logits):
        raise ValueError(f'flip must be one bool or one for each of the {len(logits)} frames, but got {flips}')
    if not any(flips):
        return logits
    if direction not in FLIP_DIMS:
        raise ValueError(f'flip_direction must be one of {tuple(FLIP_DIMS)}, but got {direction!r}')
    return torch.stack([frame.flip(FLIP_DIMS[direction]) if flipped else frame
                        for frame, flipped in zip(logits, flips, strict=True)])
