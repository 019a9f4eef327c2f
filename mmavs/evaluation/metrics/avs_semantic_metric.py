"""mIoU and F of semantic audio-visual segmentation (AVSBench AVSS)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmavs.evaluation.bootstrap import Statistic, draw_sums
from mmavs.evaluation.functional import IGNORE, SemanticCounts, count_semantic, semantic_scores
from mmavs.evaluation.metrics.clip_metric import ClipMetric, ClipRecord, read_field
from mmavs.evaluation.metrics.presets import SEMANTIC_PRESETS, SemanticPreset, find_preset
from mmavs.registry import METRICS


@dataclass
class SemanticRecord(ClipRecord):
    """Pixels of the labelled frames of a clip; shapes (T, C).

    Attributes:
        counts: Of its labelled frames, and of frames that a preset adds as padding.
    """

    counts: SemanticCounts


@METRICS.register_module()
class AVSSemanticMetric(ClipMetric):
    """Mean IoU and F-measure over classes, class 0 being the background.

    A class counts in a frame iff it is predicted or present there; its IoU and F are means over those frames (0 without
    any), and a score is the mean over **all** classes. Scores in percent, the same for any batch size, order,
    number of workers and processes:

    - ``avss/mIoU``, ``avss/F``: over all classes.
    - ``avss/mIoU_no_bg``, ``avss/F_no_bg``: without class 0.
    - ``avss/mIoU_seen``: over the classes that count in some frame.
    - ``avss/mIoU_dataset``: IoU of the pixels of the whole set, over the classes predicted or present in it.

    A sample needs ``gt_sem_seg`` (255 = no label) and ``pred_sem_seg``, both (T, H, W), and ``video_id``;
    ``sample_idx`` and ``category`` are used where present. Frames without any label are not counted.

    Args:
        num_classes: Classes with background. Default 71.
        preset: ``'clean'`` (default); ``'avsbench'`` counts clips as padded to 10 frames of background that are
            predicted right (its code multiplies both maps by the mask of real frames), and its scores without
            background leave out the last class in place of class 0, by mistake, as published.
        collect_device: As for mmengine's ``BaseMetric``.
        prefix: As for mmengine's ``BaseMetric``. Default ``'avss'``.
        collect_dir: As for mmengine's ``BaseMetric``.

    Raises:
        ValueError: If ``num_classes`` is below 2 or the preset unknown.
    """

    default_prefix = 'avss'

    def __init__(self, num_classes: int = 71, preset: str = 'clean', collect_device: str = 'cpu',
                 prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if num_classes < 2:
            raise ValueError(f'AVSSemanticMetric: num_classes counts the background, so at least 2; got {num_classes}.')
        self.num_classes = num_classes
        self.preset = find_preset(SEMANTIC_PRESETS, preset, 'AVSSemanticMetric')

    def measure_clip(self, video_id: str, sample: Mapping) -> SemanticRecord:
        """Count pixels of the labelled frames, see :class:`SemanticRecord`."""
        classes = (self.dataset_meta or {}).get('classes')
        if classes is not None and len(classes) != self.num_classes:
            raise ValueError(f'num_classes={self.num_classes}, but the dataset has {len(classes)} classes (with '
                             f'background); set num_classes={len(classes)}.')
        target, prediction = read_field(sample, 'gt_sem_seg'), read_field(sample, 'pred_sem_seg')
        if prediction.shape != target.shape:
            raise ValueError(f'pred_sem_seg has shape {tuple(prediction.shape)}, but gt_sem_seg {tuple(target.shape)}; '
                             'masks and predictions must have the size of the frames on the disk: in the pipeline '
                             'of val and test, put LoadClipMasks behind ClipResize.')
        target = target.to(prediction.device)
        labelled = (target != IGNORE).flatten(1).any(1)
        counts = count_semantic(prediction[labelled], target[labelled], self.num_classes)
        padded = max(self.preset.padded_length, len(target)) - len(counts.hits) if self.preset.padded_length else 0
        background = counts.hits.new_zeros(padded, self.num_classes)
        background[:, 0] = target[0].numel()
        return SemanticRecord(
            video_id=video_id, category=sample.get('category'), sample_idx=sample.get('sample_idx'),
            frames=labelled.nonzero()[:, 0].tolist(),
            counts=SemanticCounts(*(torch.cat([value, background]).cpu() for value in counts)))

    def sum_clips(self, clips: list[SemanticRecord]) -> dict[str, np.ndarray]:
        """Of each class in each clip, shapes (n, C): see :func:`semantic_statistics`."""
        iou, score, present = (np.stack(column) for column in zip(*map(_class_sums, clips), strict=True))
        pixels = {name: np.stack([getattr(clip.counts, name).sum(0).numpy() for clip in clips])
                  for name in SemanticCounts._fields}
        return dict(iou=iou, score=score, present=present, **pixels)

    def score_statistics(self, sums: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """The six scores."""
        return semantic_statistics(sums, self.preset)

    def describe_clips(self, clips: list[SemanticRecord],
                       sums: Mapping[str, np.ndarray]) -> tuple[list[dict], list[dict]]:
        """Values of each clip (mean over its frames and classes) and of each class."""
        iou, score, present = sums['iou'], sums['score'], sums['present']
        per_clip = [
            dict(video_id=clip.video_id, category=clip.category, J=100 * float(iou[i].sum() / present[i].sum()),
                 F=100 * float(score[i].sum() / present[i].sum()), num_frames=len(clip.frames), frames=_frames(clip))
            for i, clip in enumerate(clips)]
        names = (self.dataset_meta or {}).get('classes') or [f'class {index}' for index in range(self.num_classes)]
        rows = [
            dict(category=str(names[index]), num_clips=int((present[:, index] > 0).sum()),
                 J=100 * float(iou[:, index].sum() / present[:, index].sum()),
                 F=100 * float(score[:, index].sum() / present[:, index].sum()))
            for index in range(self.num_classes) if present[:, index].any()]
        return per_clip, rows

    def describe_protocol(self) -> dict[str, Any]:
        """Preset and settings."""
        return dict(preset=self.preset.name, description=self.preset.description, warning='',
                    settings=dict(num_classes=self.num_classes))


def _class_sums(clip: SemanticRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IoU and F of each class summed over the frames in which it counts, and their number. Shapes (C,)."""
    iou, score, present = semantic_scores(clip.counts)
    return tuple((value * present).sum(0).numpy() for value in (iou, score, present.double()))


def _frames(clip: SemanticRecord) -> list[dict]:
    iou, score, present = semantic_scores(clip.counts)
    count = present.sum(1)
    means = [((value * present).sum(1) / count).tolist() for value in (iou, score)]
    # Padding stands after the labelled frames and is not listed.
    return [dict(frame=frame, J=100 * means[0][i], F=100 * means[1][i]) for i, frame in enumerate(clip.frames)]


def semantic_statistics(sums: Mapping[str, np.ndarray], preset: SemanticPreset) -> dict[str, Statistic]:
    """The scores of ``AVSSemanticMetric`` in percent, as functions of a list of clips.

    Args:
        sums: Of each class, shapes (n, C): ``iou`` and ``score`` (F) summed over the ``present`` frames, those in which
            the class counts; and the pixels ``hits``, ``predicted`` and ``actual``.
        preset: How they are pooled.
    """
    hits, union = sums['hits'], sums['predicted'] + sums['actual'] - sums['hits']
    everything = slice(0, None)
    no_background = slice(0, -1) if preset.drop_last_class else slice(1, None)
    return {
        'mIoU': _class_mean(sums['iou'], sums['present'], everything),
        'F': _class_mean(sums['score'], sums['present'], everything),
        'mIoU_no_bg': _class_mean(sums['iou'], sums['present'], no_background),
        'F_no_bg': _class_mean(sums['score'], sums['present'], no_background),
        'mIoU_seen': _class_mean(sums['iou'], sums['present'], everything, only_seen=True),
        'mIoU_dataset': _class_mean(hits, union, everything, only_seen=True),
    }


def _class_mean(sums: np.ndarray, counts: np.ndarray, classes: slice, only_seen: bool = False) -> Statistic:
    """Percent mean over classes of ``sums / counts``, summed over clips; shapes (n, C).

    A class without counts is 0, or left out with ``only_seen``.
    """
    def statistic(draws: np.ndarray) -> np.ndarray:
        total, count = draw_sums(sums[:, classes], draws), draw_sums(counts[:, classes], draws)
        means = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        divisor = (count > 0).sum(1) if only_seen else means.shape[1]
        with np.errstate(invalid='ignore'):
            return 100 * means.sum(1) / divisor

    return statistic
