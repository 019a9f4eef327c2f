"""Decode head of AVS-Mamba.

Letters: N frames, T frames of a clip, A queries of a frame, D channels, C classes, H and W the size of the labels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss, DiceLoss, TverskyLoss
from torch import Tensor, nn

from mmavs.models.decode_heads.mask_predictor import MaskPredictor
from mmavs.models.decode_heads.query_decoder import QueryDecoderLayer
from mmavs.models.layers.checkpointing import run_block
from mmavs.models.layers.clip_grouping import check_clip_lengths
from mmavs.models.losses.dice_loss import AVSDiceLoss, mean_over_ranks
from mmavs.registry import MODELS
from mmavs.utils.arguments import check_number, check_whole, check_wholes

NUM_LEVELS = 4


@MODELS.register_module()
class MADHead(BaseDecodeHead):
    """Modality Aggregation Decoder, pixel decoder and mask prediction (paper sections IV-C and IV-D).

    The projected audio of each frame is the query. Decoder layers read the visual levels at strides 8, 16 and 32 into
    it; the pixel decoder makes the mask feature from all levels and the *initial* projected audio; both together give
    the logits at input size. In training the queries after each earlier layer are decoded too (deep supervision).

    Args:
        in_channels: Channels of the four levels; all equal ``channels``. Default: (256, 256, 256, 256).
        channels: D. Default: 256.
        audio_channels: Channels of the audio embedding. Default: 128.
        num_classes: C; 1 is a binary task with one logit. Default: 1.
        num_layers: Decoder layers; 0 decodes the projected audio itself ("without MAD"). Default: 2.
        frame_level: Have the frame-level fusion blocks. Default: True.
        temporal_level: Have the temporal-level fusion blocks. Default: True.
        num_queries: A. With more than one, a learned embedding is added to the audio for each query. Default: 1.
        pixel_decoder: Config of the pixel decoder. Default: ``dict(type='mmavs.CIPPixelDecoder', channels=channels)``.
        mlp_channels: Hidden channels of the mask MLP. Default: 2048.
        fc_channels: Channels of the two last hidden convolutions. Default: (128, 32).
        mask_mlp: How the mask MLP is evaluated: 'auto', 'plain' or 'piecewise'. Default: 'auto'.
        d_state: State size of the scans. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop a residual branch. Default: 0.1.
        threshold: A pixel of a binary task sounds above this probability. Default: 0.5.
        deep_supervision_weight: Factor of the losses on earlier layers; 0 turns them off. Default: 1.0.
        loss_decode: Config of the loss, or several. Default: ``dict(type='mmavs.AVSDiceLoss')``.
        ignore_index: Label of pixels that do not count. Default: 255.
        with_cp: Compute activations again in backward, to save memory. Default: False.
        init_cfg: mmengine's initialisation config. Default: None.

    Raises:
        ValueError: If settings are not possible or do not fit each other.
    """

    def __init__(self, in_channels: Sequence[int] = (256, 256, 256, 256), channels: int = 256,
                 audio_channels: int = 128, num_classes: int = 1, num_layers: int = 2, frame_level: bool = True,
                 temporal_level: bool = True, num_queries: int = 1, pixel_decoder: dict | None = None,
                 mlp_channels: int = 2048, fc_channels: Sequence[int] = (128, 32), mask_mlp: str = 'auto',
                 d_state: int = 16, expand: int = 2, dt_rank: int | None = None, drop_path_rate: float = 0.1,
                 threshold: float = 0.5, deep_supervision_weight: float = 1.0,
                 loss_decode: dict | Sequence[dict] | None = None, ignore_index: int = 255, with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        _check_settings(in_channels, dict(
            channels=channels, audio_channels=audio_channels, num_classes=num_classes, num_layers=num_layers,
            num_queries=num_queries), deep_supervision_weight, threshold)
        super().__init__(
            in_channels=tuple(in_channels), channels=channels, num_classes=num_classes, out_channels=num_classes,
            threshold=threshold if num_classes == 1 else None, dropout_ratio=0, in_index=tuple(range(NUM_LEVELS)),
            input_transform='multiple_select', loss_decode=loss_decode or dict(type='mmavs.AVSDiceLoss'),
            ignore_index=ignore_index, align_corners=False, init_cfg=init_cfg)
        _check_losses(self._losses, num_classes)
        self.num_queries, self.deep_supervision_weight = num_queries, deep_supervision_weight
        self.audio_channels, self.with_cp = audio_channels, with_cp
        self.audio_proj = nn.Linear(audio_channels, channels)
        if num_queries > 1:
            self.query_embed = nn.Parameter(torch.empty(num_queries, channels).normal_(std=0.02))
        self.layers = nn.ModuleList(
            QueryDecoderLayer(channels, NUM_LEVELS - 1, frame_level, temporal_level, d_state, expand, dt_rank,
                              drop_path_rate, with_cp) for _ in range(num_layers))
        pixel_decoder = pixel_decoder or dict(type='mmavs.CIPPixelDecoder', channels=channels)
        self.pixel_decoder = MODELS.build(pixel_decoder)
        if self.pixel_decoder.channels != channels:
            raise ValueError(f'pixel_decoder.channels must equal channels={channels} of MADHead, '
                             f'but got {self.pixel_decoder.channels}')
        self.predictor = MaskPredictor(channels, num_queries, mlp_channels, fc_channels, mask_mlp)
        # In place of the base class's layer, which would start from ``channels`` and have a bias.
        self.conv_seg = nn.Conv2d(fc_channels[1], num_classes, kernel_size=1, bias=False)

    def forward(self, feats: Sequence[Tensor], audio: Tensor,
                clip_lengths: Sequence[int] | None = None) -> Tensor | list[Tensor]:
        """Compute the logits.

        Args:
            feats: Four maps at strides 4, 8, 16, 32. Shapes (N, D, h_i, w_i).
            audio: Audio embedding of each frame. Shape (N, audio_channels).
            clip_lengths: Frames of each clip, summing to N; None: every frame is a clip of one.

        Returns:
            Logits of shape (N, C, 4 h_0, 4 w_0). In training with deep supervision a list: those of every layer's
            queries, the final ones last.

        Raises:
            ValueError: If feats, audio and clip lengths do not fit each other.
        """
        found = tuple(feature.shape[1] for feature in feats)
        if found != self.in_channels:
            raise ValueError(f'MADHead was built for in_channels={self.in_channels}, but got maps of {found} channels: '
                             "put neck=dict(type='mmavs.MTENeck', ...) in between or set in_channels and channels")
        clip_lengths = check_clip_lengths(clip_lengths, feats[0].shape[0])
        if audio.shape != (feats[0].shape[0], self.audio_channels):
            raise ValueError(f'MADHead needs one audio embedding for each frame, shape '
                             f'{(feats[0].shape[0], self.audio_channels)}, but got {tuple(audio.shape)}')
        audio = self.audio_proj(audio).unsqueeze(1)  # (N, 1, D)
        queries = audio + self.query_embed if self.num_queries > 1 else audio
        decoded = [queries]
        for layer in self.layers:
            decoded.append(layer(decoded[-1], feats[1:], clip_lengths))
        # The undecoded audio is supervised only when there is nothing else.
        decoded = decoded[1:] or decoded
        deep = self.training and self.deep_supervision_weight > 0
        mask_feature = self.pixel_decoder(feats, audio, clip_lengths)
        logits = [run_block(self.predictor, mask_feature, queries, self.conv_seg, with_cp=self.with_cp)
                  for queries in (decoded if deep else decoded[-1:])]
        return logits if deep else logits[0]

    def loss(self, feats: Sequence[Tensor], audio: Tensor, clip_lengths: Sequence[int] | None,
             data_samples: Sequence) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            feats: As in :meth:`forward`.
            audio: As in :meth:`forward`.
            clip_lengths: As in :meth:`forward`.
            data_samples: One for each clip, with ``gt_sem_seg.data`` of shape (T, H, W).

        Returns:
            The losses by name; those on earlier layers have the prefix ``d0.``, ``d1.``, ...

        Raises:
            ValueError: If the labels do not fit the frames or the number of classes.
        """
        logits = self.forward(feats, audio, clip_lengths)
        return self.loss_by_feat(logits if isinstance(logits, list) else [logits], data_samples)

    def predict(self, feats: Sequence[Tensor], audio: Tensor, clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Logits of the last layer.

        Args:
            feats: As in :meth:`forward`.
            audio: As in :meth:`forward`.
            clip_lengths: As in :meth:`forward`.

        Returns:
            Shape (N, C, 4 h_0, 4 w_0).
        """
        logits = self.forward(feats, audio, clip_lengths)
        return logits[-1] if isinstance(logits, list) else logits

    def loss_by_feat(self, seg_logits: Sequence[Tensor], batch_data_samples: Sequence) -> dict[str, Tensor]:
        """Losses of given logits.

        Args:
            seg_logits: One for each supervised layer, the final one last. Shapes (N, C, h, w).
            batch_data_samples: One for each clip, with ``gt_sem_seg.data`` of shape (T, H, W).

        Returns:
            As :meth:`loss`.
        """
        target = self._gather_target(batch_data_samples, seg_logits[-1].shape[0])
        losses = {}
        for i, logits in enumerate(seg_logits):
            if logits.shape[2:] != target.shape[1:]:
                logits = F.interpolate(logits, size=target.shape[1:], mode='bilinear', align_corners=False)
            final = i == len(seg_logits) - 1
            for name, value in self._layer_losses(logits, target).items():
                losses[name if final else f'd{i}.{name}'] = value if final else self.deep_supervision_weight * value
        return losses

    @property
    def _losses(self) -> list[nn.Module]:
        return list(self.loss_decode) if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]

    def _layer_losses(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Losses of one layer; logits of shape (N, C, H, W), target (N, H, W)."""
        losses: dict[str, Tensor] = {}
        for loss in self._losses:
            options = {}
            if isinstance(loss, CrossEntropyLoss) and _averages_over_pixels(loss):
                # By itself it would count ignored pixels too, and each process would count its own.
                options['avg_factor'] = mean_over_ranks((target != self.ignore_index).sum().float()).item()
            value = loss(logits, target, ignore_index=self.ignore_index, **options)
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + value
        return losses

    def _gather_target(self, data_samples: Sequence, num_frames: int) -> Tensor:
        """Labels of all frames, checked. Shape (N, H, W), integer labels as int64."""
        target = torch.cat([sample.gt_sem_seg.data for sample in data_samples])
        if target.dim() != 3 or target.shape[0] != num_frames:
            raise ValueError(f'the labels of the clips have shape {tuple(target.shape)} together, '
                             f'but the batch has {num_frames} frames: gt_sem_seg.data must be (T, H, W) for each clip')
        if target.is_floating_point():
            return target
        largest = int(target.masked_fill(target == self.ignore_index, 0).max())
        if largest >= max(self.num_classes, 2):
            raise ValueError(f'the labels hold class {largest}, but the head has num_classes={self.num_classes}: '
                             f'set num_classes of decode_head to the number of classes of the dataset')
        return target.long()


def _check_settings(in_channels: Sequence[int], numbers: dict[str, int], deep_supervision_weight: float,
                    threshold: float | None) -> None:
    for name, value in numbers.items():
        check_whole(f'{name} of MADHead', value, lowest=0 if name == 'num_layers' else 1)
    check_wholes('in_channels of MADHead (levels at strides 4, 8, 16, 32)', in_channels, NUM_LEVELS)
    channels = numbers['channels']
    if set(in_channels) != {channels}:
        raise ValueError(f'in_channels of MADHead must be channels={channels} for each of {NUM_LEVELS} levels, '
                         f'but got {tuple(in_channels)}')
    check_number('deep_supervision_weight of MADHead', deep_supervision_weight, 0)
    if numbers['num_classes'] == 1:
        check_number('threshold of MADHead (a probability)', threshold, 0, 1)


def _averages_over_pixels(loss: CrossEntropyLoss) -> bool:
    return loss.reduction == 'mean' and loss.class_weight is None and not loss.use_sigmoid


def _check_losses(losses: Sequence[nn.Module], num_classes: int) -> None:
    for loss in losses:
        if isinstance(loss, AVSDiceLoss) and num_classes > 1:
            raise ValueError(f'AVSDiceLoss is for num_classes=1, but MADHead has num_classes={num_classes}: '
                             f"set loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)")
        if isinstance(loss, CrossEntropyLoss) and not loss.use_sigmoid and num_classes == 1:
            raise ValueError('softmax cross-entropy over num_classes=1 is always zero: '
                             "set loss_decode=dict(type='mmavs.AVSDiceLoss') or use_sigmoid=True")
        if isinstance(loss, DiceLoss | TverskyLoss) and num_classes == 1:
            # They encode the labels as one-hot over num_classes, so that every pixel is of the only class.
            raise ValueError(f"mmseg's {type(loss).__name__} does not learn masks with num_classes=1: "
                             "set loss_decode=dict(type='mmavs.AVSDiceLoss')")
