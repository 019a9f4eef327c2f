"""From the counts of clips to the scores of a preset.

Letters: n clips or groups of clips, T frames of a clip, K thresholds, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmavs.evaluation.bootstrap import Statistic, mean_statistic
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


def group_f(clips: Sequence[BinaryRecord]) -> float:
    """F of a group: the highest point of the mean curve of its sounding frames, 0 without any. In [0, 1]."""
    curves = np.concatenate([clip.curves for clip in clips])
    return float(curves.mean(0).max()) if len(curves) else 0.0


def binary_statistics(clips: Sequence[BinaryRecord], preset: BinaryPreset) -> dict[str, tuple[Statistic, int]]:
    """The scores of ``AVSMetric`` in percent, each with the number of units that a bootstrap draws from."""
    ious = [clip.iou for clip in clips]
    areas = [clip.false_positive_area for clip in clips]
    of_sounding = [iou[clip.sounding] for clip, iou in zip(clips, ious, strict=True)]
    scores = {
        'J': _mean_of_frames(ious),
        'F': _f_statistic(clips, preset),
        'J_sounding': _mean_of_frames(of_sounding),
        'silent_fp_area': _mean_of_frames(areas),
        'silent_clean': _mean_of_frames([area == 0 for area in areas]),
    }
    if preset.group == 'dataset':
        intersection = np.array([clip.counts.hits.sum().item() for clip in clips])
        predicted = np.array([clip.counts.predicted.sum().item() for clip in clips])
        positives = np.array([clip.counts.positives.sum().item() for clip in clips])
        union = predicted + positives - intersection
        scores['J'] = mean_statistic(100 * intersection, union + 1e-7 / len(clips)), len(clips)
    elif preset.batch_mean:
        scores['J'] = _mean_of_units([np.concatenate(group).mean() for group in _groups(ious, preset.group_size)])
    return scores


def _f_statistic(clips: Sequence[BinaryRecord], preset: BinaryPreset) -> tuple[Statistic, int]:
    if preset.group == 'frame' and any(clip.sounding.any() for clip in clips):
        return _mean_of_frames([clip.curves.max(axis=1) for clip in clips])
    if preset.group == 'dataset':
        return _pooled_f(clips), len(clips)
    return _mean_of_units([group_f(group) for group in _groups(clips, preset.group_size)])


def _pooled_f(clips: Sequence[BinaryRecord]) -> Statistic:
    """F of the pooled pixels of all sounding frames, at its best threshold."""
    sums = []
    for clip in clips:
        keep = clip.counts.positives > 0
        sums.append([values[keep].sum(0).numpy()
                     for values in (clip.curve_hits, clip.curve_predicted, clip.counts.positives)])
    columns = [np.stack(column) for column in zip(*sums, strict=True)]

    def statistic(draws: np.ndarray) -> np.ndarray:
        pooled = [torch.from_numpy(draws @ column) for column in columns]
        return 100 * f_curves(*pooled).amax(1).numpy()

    return statistic


def _groups(items: Sequence, size: int) -> list[Sequence]:
    return [items[start:start + size] for start in range(0, len(items), size)]


def _mean_of_frames(values: Sequence[np.ndarray]) -> tuple[Statistic, int]:
    sums = np.array([100.0 * value.sum() for value in values])
    return mean_statistic(sums, np.array([float(len(value)) for value in values])), len(values)


def _mean_of_units(values: Sequence[float]) -> tuple[Statistic, int]:
    return mean_statistic(100 * np.array(values), np.ones(len(values))), len(values)
