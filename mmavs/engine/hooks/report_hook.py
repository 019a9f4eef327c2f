"""Writes a test as a web page: scores, and every clip with its pictures and its sound."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmavs.engine.hooks.avs_visualization_hook import clip_frames
from mmavs.registry import HOOKS
from mmavs.utils.pipelines import keep_sound
from mmavs.version import __version__
from mmavs.visualization.html_report import ClipMedia, write_clip_media, write_page


@HOOKS.register_module()
class ReportHook(Hook):
    """Write ``<out_dir>/index.html`` after a test, see :mod:`mmavs.visualization.html_report`.

    Pictures and sounds are written while the test runs, by the process that has tested the clip, so ``out_dir`` must
    be one folder for all processes. The scores are those of the metrics that have a ``report()``.

    Args:
        out_dir: Folder of the page. Files of an earlier page of the same clips are replaced.
        frame_width: Frames wider than this are shrunk to it. Default 640.
        with_sound: Write the sounds as the network hears them: mono, 16 kHz, cut to the clip. Default True.

    Raises:
        ValueError: If ``frame_width`` is below 16.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str, frame_width: int = 640, with_sound: bool = True) -> None:
        if frame_width < 16:
            raise ValueError(f'frame_width={frame_width} of ReportHook must be at least 16 pixels.')
        self.out_dir = Path(out_dir)
        self.frame_width = frame_width
        self.with_sound = with_sound
        self._media: list[ClipMedia] = []

    def before_test_epoch(self, runner: Runner) -> None:
        """Forget the clips of an earlier test, and ask for the sounds before the loader starts its workers."""
        self._media = []
        if self.with_sound:
            keep_sound(runner.test_dataloader.dataset)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[BaseDataElement] | None = None) -> None:
        """Write the files of the clips of a batch."""
        meta = runner.visualizer.dataset_meta or {}
        for index, sample in enumerate(outputs or ()):
            log_mel = data_batch['inputs'].get('audio')
            self._media.append(write_clip_media(
                self.out_dir, str(sample.video_id), clip_frames(sample, data_batch, index),
                truth=_masks(sample, 'gt_sem_seg'), prediction=_masks(sample, 'pred_sem_seg'),
                log_mel=None if log_mel is None else log_mel[index].cpu().numpy(),
                sound=sample.get('sound') if self.with_sound else None,
                category=sample.get('category'), classes=meta.get('classes'), palette=meta.get('palette'),
                frame_width=self.frame_width))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the page, on the main process."""
        media = [item for of_process in all_gather_object(self._media) for item in of_process]
        if not is_main_process():
            return
        reports = [metric.report() for metric in runner.test_loop.evaluator.metrics if hasattr(metric, 'report')]
        soundless = sum(not item.has_sound for item in media)
        if self.with_sound and soundless:
            # AVSBench's stored log-mels, or a front end of the pipeline's own that does not keep the sound.
            runner.logger.warning(f'Report: {soundless} of {len(media)} clips are shown without sound: only their '
                                  'log-mels are known.')
        page = write_page(self.out_dir, reports, media, title=_title(runner), facts=_facts(runner))
        runner.logger.info(f'Report: {page}')


def _masks(sample: BaseDataElement, key: str) -> np.ndarray | None:
    """Masks of a clip. Shape (T, H, W), uint8, or None when the sample has none."""
    return sample.get(key).data.cpu().numpy().astype(np.uint8) if key in sample else None


def _title(runner: Runner) -> str:
    filename = getattr(runner.cfg, 'filename', None)
    return Path(filename).stem if filename else 'test'


def _facts(runner: Runner) -> dict[str, Any]:
    """What the head of the page says about the run."""
    dataset = runner.test_dataloader.dataset
    parts = [getattr(dataset, name, None) for name in ('subset', 'split')]
    facts = {'Weights': Path(runner._load_from).name if runner._load_from else 'not loaded',
             'Data': ' '.join(str(part) for part in parts if part) or type(dataset).__name__,
             'Clips': len(dataset), 'Date': time.strftime('%Y-%m-%d %H:%M'), 'mmavs': __version__}
    sound_of = getattr(dataset, 'sound_of', 'own')
    if sound_of != 'own':
        facts['Sound'] = f'exchanged ({sound_of})'
    return facts
