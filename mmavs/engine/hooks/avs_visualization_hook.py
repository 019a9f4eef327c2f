"""Writes what the network saw, heard and answered: one picture per clip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmavs.registry import HOOKS
from mmavs.visualization import read_frames, write_masks, write_picture


@HOOKS.register_module()
class AVSVisualizationHook(Hook):
    """Write one contact sheet per clip after each validation or test iteration.

    Test sheets go to ``<show_dir>/<video_id>.png``, those of a validation during training to
    ``<show_dir>/epoch_<n>/<video_id>.png``. Each rank writes the clips it evaluated; files appear whole or not at
    all, so ranks that share a clip (samplers repeat some to even out) do not disturb each other.

    Args:
        draw: Draw contact sheets. Default False.
        interval: Draw every ``interval``-th iteration of an evaluation. Default 1.
        max_clips: Sheets per evaluation, shared by the ranks. Default None: all in a test, 8 in a validation.
        show_dir: Folder of the sheets. Default: ``<work_dir>/clips``.
        mask_dir: Also write the predicted masks of every clip as ``<mask_dir>/<video_id>/<frame>.png``, the input of
            ``tools/analysis_tools/vis_qualitative.py``; in a test only. Default None.
        with_scores: Write J of each frame, as ``AVSMetric`` counts it, under the prediction. Default True.

    Raises:
        ValueError: If ``interval`` is below 1 or ``max_clips`` below 0; on starting a run, if the visualizer of the
            config cannot draw clips.
    """

    priority = 'NORMAL'

    def __init__(self, draw: bool = False, interval: int = 1, max_clips: int | None = None,
                 show_dir: str | None = None, mask_dir: str | None = None, with_scores: bool = True) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval} must be at least 1.')
        if max_clips is not None and max_clips < 0:
            raise ValueError(f'max_clips={max_clips} must not be negative; None draws without limit.')
        self.draw = draw
        self.interval = interval
        self.max_clips = max_clips
        self.show_dir = show_dir
        self.mask_dir = mask_dir
        self.with_scores = with_scores
        self._left: float = 0

    def before_run(self, runner: Runner) -> None:
        """Find out whether the visualizer can draw clips."""
        if self.draw and not hasattr(runner.visualizer, 'draw_datasample'):
            raise ValueError(f"{type(runner.visualizer).__name__} does not draw clips, as AVSVisualizationHook does: "
                             "set visualizer.type='mmavs.AVSLocalVisualizer' in the config.")

    def before_val_epoch(self, runner: Runner) -> None:
        """Start counting the sheets of this evaluation."""
        self._left = self._share(8 if self.max_clips is None else self.max_clips)

    def before_test_epoch(self, runner: Runner) -> None:
        """Start counting the sheets of this evaluation."""
        self._left = float('inf') if self.max_clips is None else self._share(self.max_clips)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[BaseDataElement] | None = None) -> None:
        """Draw the clips of a validation batch."""
        folder = self._folder(runner) / f'epoch_{runner.epoch}'
        self._draw_batch(runner, runner.val_loop.evaluator, batch_idx, data_batch, outputs, folder)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[BaseDataElement] | None = None) -> None:
        """Draw the clips of a test batch and write their masks."""
        self._draw_batch(runner, runner.test_loop.evaluator, batch_idx, data_batch, outputs, self._folder(runner))
        if self.mask_dir is not None:
            meta = runner.visualizer.dataset_meta or {}
            for sample in outputs or ():
                write_masks(Path(self.mask_dir) / file_name(sample.video_id), sample.pred_sem_seg.data.cpu().numpy(),
                            len(meta.get('classes', (0, 1))), meta.get('palette'))

    def _folder(self, runner: Runner) -> Path:
        return Path(self.show_dir) if self.show_dir is not None else Path(runner.work_dir) / 'clips'

    @staticmethod
    def _share(clips: int) -> int:
        """This rank's part of ``clips``."""
        quotient, rest = divmod(clips, get_world_size())
        return quotient + (get_rank() < rest)

    def _draw_batch(self, runner: Runner, evaluator: Evaluator, batch_idx: int, data_batch: dict | None,
                    outputs: Sequence[BaseDataElement] | None, folder: Path) -> None:
        if not self.draw or batch_idx % self.interval or not outputs:
            return
        for index, sample in enumerate(outputs):
            if self._left <= 0:
                return
            self._left -= 1
            sheet = runner.visualizer.draw_datasample(
                clip_frames(sample, data_batch, index), sample, log_mel=data_batch['inputs']['audio'][index],
                scores=frame_scores(evaluator, sample, len(outputs)) if self.with_scores else None)
            write_picture(folder / f'{file_name(sample.video_id)}.png', sheet)


def clip_frames(sample: BaseDataElement, data_batch: dict, index: int) -> list[np.ndarray]:
    """RGB frames of a clip: the files it came from, or the network's input when it did not come from files."""
    paths = sample.get('img_path')
    if paths:
        return read_frames(paths)
    # Network inputs are BGR.
    return [np.ascontiguousarray(frame[[2, 1, 0]].permute(1, 2, 0).numpy())
            for frame in data_batch['inputs']['img'][index]]


def file_name(video_id: str) -> str:
    """A clip's id as a file name: no path separators, no leading dot."""
    return str(video_id).replace('/', '_').replace('\\', '_').lstrip('.') or 'clip'


def frame_scores(evaluator: Evaluator, sample: BaseDataElement, batch_size: int) -> list[float | None] | None:
    """J of each frame of a clip, as the evaluator's metric has just counted it.

    Args:
        evaluator: Its metrics have processed the batch of the clip as their last one.
        sample: The clip.
        batch_size: Clips of that batch.

    Returns:
        T values in percent, None for a frame without a label; or None if no metric has per-frame values of this clip
        (semantic metrics have none).
    """
    for metric in evaluator.metrics:
        for record in metric.results[-batch_size:]:
            if getattr(record, 'video_id', None) == str(sample.video_id) and hasattr(record, 'iou'):
                scores: list[float | None] = [None] * len(sample.pred_sem_seg.data)
                for frame, iou in zip(record.frames, record.iou, strict=True):
                    scores[frame] = 100 * float(iou)
                return scores
    return None
