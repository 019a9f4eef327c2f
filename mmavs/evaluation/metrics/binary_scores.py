"""From the counts of clips to the scores of a preset.

Letters: n clips, T frames of a clip, K thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmavs.evaluation.bootstrap import Statistic, draw_sums, mean_statistic
from mmavs.evaluation.functional import BinaryCounts, f_curves, frame_iou
from mmavs.evaluation.metrics.clip_metric import ClipRecord
from mmavs.evaluation.metrics.presets import BinaryPreset


@dataclass
class BinaryRecord(ClipRecord):
    """Counts of the labelled frames of a clip; see :mod:`mmavs.evaluation.functional`.

    Attributes:
        counts: Shapes (T,).
        curve_hits: Shape (T, K).
        curve_predicted: Shape (T, K).
    """

    counts: BinaryCounts
    curve_hits: torch.Tensor
    curve_predicted: torch.Tensor

    @property
    def iou(self) -> np.ndarray:
        """IoU of each frame. Shape (T,)."""
        return frame_iou(self.counts).numpy()

    @property
    def sounding(self) -> np.ndarray:
        """Whether each frame has a target. Shape (T,), bool."""
        return (self.counts.positives > 0).numpy()

    @property
    def curves(self) -> np.ndarray:
        """F at every threshold of the sounding frames. Shape (at most T, K)."""
        keep = self.counts.positives > 0
        return f_curves(self.curve_hits[keep], self.curve_predicted[keep], self.counts.positives[keep]).numpy()

    @property
    def false_positive_area(self) -> np.ndarray:
        """Share of each silent frame that is predicted as sounding. Shape (at most T,)."""
        silent = self.counts.positives == 0
        return (self.counts.predicted[silent] / self.counts.pixels[silent]).numpy()


def sum_clips(clips: Sequence[BinaryRecord], preset: BinaryPreset) -> dict[str, np.ndarray]:
    """For each clip all that the scores of a preset are made of, and no more: result files keep it.

    Returns:
        Shapes (n,) or (n, K), float64. ``frames``, ``sounding`` and ``silent`` are numbers of frames; ``iou``,
        ``iou_sounding``, ``false_area`` and ``clean`` are sums over them. For F: ``best_f``, where it comes from single
        clips or frames; ``curve``, the sum of the sounding frames' curves, where clips are grouped; and for the preset
        ``'dataset'`` the pixels of all frames, ``hits``, ``predicted``, ``positives``, ``curve_hits`` and
        ``curve_predicted``.
    """
    rows = [_sum_clip(clip, preset) for clip in clips]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def binary_statistics(sums: Mapping[str, np.ndarray], preset: BinaryPreset) -> dict[str, Statistic]:
    """The scores of ``AVSMetric`` in percent, as functions of a list of clips.

    Args:
        sums: From :func:`sum_clips`.
        preset: The same preset.
    """
    j, f = _mean(sums['iou'], sums['frames']), _f_statistic(sums, preset)
    if preset.group == 'dataset':
        j = _pooled_j(sums)
    elif preset.batch_mean:
        j = _mean_of_groups(sums['iou'], sums['frames'], preset.group_size)
    return {'J': j, 'F': f, 'J_sounding': _mean(sums['iou_sounding'], sums['sounding']),
            'silent_fp_area': _mean(sums['false_area'], sums['silent']),
            'silent_clean': _mean(sums['clean'], sums['silent'])}


def _sum_clip(clip: BinaryRecord, preset: BinaryPreset) -> dict[str, float | np.ndarray]:
    iou, sounding, area, counts = clip.iou, clip.sounding, clip.false_positive_area, clip.counts
    sums = dict(frames=len(iou), iou=iou.sum(), sounding=sounding.sum(), iou_sounding=iou[sounding].sum(),
                silent=len(area), false_area=area.sum(), clean=(area == 0).sum())
    if preset.group == 'dataset':
        pixels = {name: getattr(counts, name).sum().item() for name in ('hits', 'predicted', 'positives')}
        return sums | pixels | dict(curve_hits=clip.curve_hits.sum(0).numpy(),
                                    curve_predicted=clip.curve_predicted.sum(0).numpy())
    if preset.group == 'frame':
        return sums | dict(best_f=clip.curves.max(axis=1).sum())
    if preset.group_size == 1:
        curves = clip.curves
        return sums | dict(best_f=curves.mean(0).max() if len(curves) else 0.0)
    return sums | dict(curve=clip.curves.sum(0))


def _f_statistic(sums: Mapping[str, np.ndarray], preset: BinaryPreset) -> Statistic:
    if preset.group == 'dataset':
        return _pooled_f(sums)
    if preset.group == 'frame':
        per_frame = _mean(sums['best_f'], sums['sounding'])
        return lambda draws: np.nan_to_num(per_frame(draws))
    if preset.group_size == 1:
        return _mean(sums['best_f'], np.ones(len(sums['best_f'])))
    return _mean_of_groups(sums['curve'], sums['sounding'], preset.group_size)


def _pooled_j(sums: Mapping[str, np.ndarray]) -> Statistic:
    def statistic(draws: np.ndarray) -> np.ndarray:
        hits, predicted, positives = (draw_sums(sums[name], draws) for name in ('hits', 'predicted', 'positives'))
        return 100 * hits / (predicted + positives - hits + 1e-7)

    return statistic


def _pooled_f(sums: Mapping[str, np.ndarray]) -> Statistic:
    def statistic(draws: np.ndarray) -> np.ndarray:
        pooled = [torch.from_numpy(draw_sums(sums[name], draws))
                  for name in ('curve_hits', 'curve_predicted', 'positives')]
        return 100 * f_curves(*pooled).amax(1).numpy()

    return statistic


def _mean(values: np.ndarray, counts: np.ndarray) -> Statistic:
    return mean_statistic(100 * values, counts)


def _mean_of_groups(values: np.ndarray, counts: np.ndarray, size: int) -> Statistic:
    """Mean over groups of ``size`` neighbours of the group's own mean, or of the best point of its mean curve.

    Args:
        values: Sums over the frames of each clip. Shape (n,) or (n, K).
        counts: Frames of each clip; a group without any counts 0. Shape (n,).
        size: Clips in a group; the last one of a list may have fewer.
    """
    def score(draw: np.ndarray) -> float:
        starts = np.arange(0, len(draw), size)
        total, count = np.add.reduceat(values[draw], starts), np.add.reduceat(counts[draw], starts)
        best = total.reshape(len(starts), -1).max(1)
        return 100 * np.divide(best, count, out=np.zeros_like(best), where=count > 0).mean()

    return lambda draws: np.array([score(draw) for draw in draws])
