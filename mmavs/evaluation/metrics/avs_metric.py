"""J and F of binary audio-visual segmentation (AVSBench S4 and MS3)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmavs.evaluation.bootstrap import Statistic
from mmavs.evaluation.functional import IGNORE, count_binary, count_curves
from mmavs.evaluation.metrics.binary_scores import BinaryRecord, binary_statistics, sum_clips
from mmavs.evaluation.metrics.clip_metric import ClipMetric, read_field
from mmavs.evaluation.metrics.eval_size import check_eval_size, resize_scores, resize_target
from mmavs.evaluation.metrics.presets import BINARY_PRESETS, find_preset
from mmavs.registry import METRICS


@METRICS.register_module()
class AVSMetric(ClipMetric):
    """Jaccard index J and F-measure F, with what they hide on silent frames.

    Scores, in percent and the same for any batch size, order, number of workers and processes:

    - ``avs/J``: mean IoU of the labelled frames; a silent frame scores its share of true negatives.
    - ``avs/F``: mean over groups of clips of the best point of the group's mean curve over 255 thresholds; silent
      frames are left out of the curve, and a group with nothing else counts 0.
    - ``avs/J_sounding``: J of the sounding frames only.
    - ``avs/silent_fp_area``: mean share of a silent frame that is predicted as sounding; lower is better.
    - ``avs/silent_clean``: share of silent frames where no pixel is predicted.

    A sample needs ``gt_sem_seg`` (0, 1, 255 = no label), ``pred_scores`` (probability of sounding, at the mask's size),
    both (T, H, W), and ``video_id``; for ``eval_size`` also ``seg_logits``, the network's logits at its own size
    (T, h, w), so that nothing is resized twice. ``sample_idx`` and ``category`` are used where present. Frames without
    any label are not counted.

    Args:
        preset: How frames and clips are pooled: ``'avsbench'`` (default), ``'avsegformer'``, ``'selm'``, ``'combo'``,
            ``'avsmamba'``, ``'batch_mean'``, ``'frame'`` or ``'dataset'``; see
            :mod:`mmavs.evaluation.metrics.presets`.
        eval_size: Score at this size, an int or (height, width). Default None: the masks' own. The published table of
            AVS-Mamba has 512.
        gt_interp: How masks are brought to ``eval_size``: ``'nearest'`` (default) or ``'bilinear_soft'``.
        group_size: Clips per batch of the preset ``'batch_mean'``, which needs it; other presets have their own.
        collect_device: As for mmengine's ``BaseMetric``.
        prefix: As for mmengine's ``BaseMetric``. Default ``'avs'``.
        collect_dir: As for mmengine's ``BaseMetric``.

    Raises:
        ValueError: If an argument is not among the above.
    """

    default_prefix = 'avs'

    def __init__(self, preset: str = 'avsbench', eval_size: int | Sequence[int] | None = None,
                 gt_interp: str = 'nearest', group_size: int | None = None, collect_device: str = 'cpu',
                 prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.preset = find_preset(BINARY_PRESETS, preset, 'AVSMetric')
        if (group_size is not None) != self.preset.batch_mean:
            raise ValueError(f'AVSMetric: group_size={group_size} with preset={preset!r}; it belongs to the preset '
                             "'batch_mean', which needs it.")
        if group_size is not None:
            if group_size < 1:
                raise ValueError(f'AVSMetric: group_size must be at least 1, got {group_size}.')
            self.preset = dataclasses.replace(self.preset, group_size=group_size)
        self.eval_size = check_eval_size(eval_size, gt_interp)
        self.gt_interp = gt_interp

    def measure_clip(self, video_id: str, sample: Mapping) -> BinaryRecord:
        """Count pixels of the labelled frames, see :class:`BinaryRecord`."""
        target, scores = read_field(sample, 'gt_sem_seg'), read_field(sample, 'pred_scores')
        if scores.shape != target.shape:
            raise ValueError(f'pred_scores has shape {tuple(scores.shape)}, but gt_sem_seg {tuple(target.shape)}; '
                             'masks and predictions must have the size of the frames on the disk: in the pipeline '
                             'of val and test, put LoadClipMasks behind ClipResize.')
        target = target.to(scores.device)
        labelled = (target != IGNORE).flatten(1).any(1)
        target, scores = target[labelled], scores[labelled]
        if self.eval_size is not None and len(target):
            logits = read_field(sample, 'seg_logits')[labelled] if 'seg_logits' in sample else None
            scores = resize_scores(scores, logits, self.eval_size)
            target = resize_target(target, self.eval_size, self.gt_interp)
        counts = count_binary(scores, target)
        curve_hits, curve_predicted = count_curves(scores, target)
        return BinaryRecord(
            video_id=video_id, category=sample.get('category'), sample_idx=sample.get('sample_idx'),
            frames=labelled.nonzero()[:, 0].tolist(), counts=type(counts)(*(value.cpu() for value in counts)),
            curve_hits=curve_hits.cpu(), curve_predicted=curve_predicted.cpu())

    def sum_clips(self, clips: list[BinaryRecord]) -> dict[str, np.ndarray]:
        """What the preset needs of each clip, see :func:`binary_scores.sum_clips`."""
        return sum_clips(clips, self.preset)

    def score_statistics(self, sums: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """The five scores."""
        return binary_statistics(sums, self.preset)

    def describe_clips(self, clips: list[BinaryRecord],
                       sums: Mapping[str, np.ndarray]) -> tuple[list[dict], list[dict]]:
        """J and F that the preset gives each clip by itself, and the clips of each category by themselves."""
        statistics = self.score_statistics(sums)
        alone = [statistics[name](np.arange(len(clips))[:, None]).tolist() for name in ('J', 'F')]
        per_clip = [dict(video_id=clip.video_id, category=clip.category, J=j, F=f, num_frames=len(clip.frames),
                         silent=not clip.sounding.any(), frames=_describe_frames(clip))
                    for clip, j, f in zip(clips, *alone, strict=True)]
        rows = []
        for name in sorted({clip.category for clip in clips if clip.category is not None}):
            members = np.array([index for index, clip in enumerate(clips) if clip.category == name])
            rows.append(dict(category=name, num_clips=len(members),
                             **{score: float(statistics[score](members[None])[0]) for score in ('J', 'F')}))
        return per_clip, rows

    def describe_protocol(self) -> dict[str, Any]:
        """Preset and settings."""
        return dict(preset=self.preset.name, description=self.preset.description, warning=self.preset.warning,
                    settings=dict(eval_size=self.eval_size, gt_interp=self.gt_interp,
                                  group_size=self.preset.group_size))


def _describe_frames(clip: BinaryRecord) -> list[dict]:
    values = zip(clip.frames, clip.iou.tolist(), clip.sounding.tolist(),
                 (clip.counts.predicted / clip.counts.pixels).tolist(), strict=True)
    return [dict(frame=frame, J=100 * iou, silent=not sounding, predicted_area=100 * area)
            for frame, iou, sounding, area in values]
