"""The visualiser of audio-visual segmentation: draws whole clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement
from mmseg.visualization import SegLocalVisualizer

from mmavs.registry import VISUALIZERS
from mmavs.visualization.colours import SOUNDING_COLOUR
from mmavs.visualization.contact_sheet import contact_sheet
from mmavs.visualization.files import write_picture

BINARY_CLASSES = ('background', 'sounding')


@VISUALIZERS.register_module()
class AVSLocalVisualizer(SegLocalVisualizer):
    """Draws a clip as a contact sheet: frames, ground truth, prediction, errors and log-mel, second by second.

    Class names and colours come from ``dataset_meta``, which mmengine's loops set from the dataset; until then the
    names are ('background', 'sounding').

    Args:
        name: Name of the instance. Default 'visualizer'.
        vis_backends: mmengine's backends, a list of dicts.
        save_dir: Folder of the backends' files.
        alpha: Weight of the mask colours, 0 to 1. Default 0.6.
        with_errors: Draw the error map when a clip has truth and prediction. Default True.
    """

    def __init__(self, name: str = 'visualizer', vis_backends: list[dict] | None = None, save_dir: str | None = None,
                 alpha: float = 0.6, with_errors: bool = True) -> None:
        super().__init__(name=name, vis_backends=vis_backends, save_dir=save_dir, alpha=alpha)
        # Not through the parent's arguments: it passes classes and palette on in the wrong order.
        self.dataset_meta = dict(classes=list(BINARY_CLASSES), palette=[[0, 0, 0], list(SOUNDING_COLOUR)])
        self.with_errors = with_errors

    def draw_datasample(self, frames: Sequence[np.ndarray], data_sample: BaseDataElement,
                        log_mel: np.ndarray | None = None, scores: Sequence[float | None] | None = None,
                        draw_gt: bool = True, draw_pred: bool = True) -> np.ndarray:
        """Draw a clip without writing it anywhere; every rank of a distributed run may call this.

        Args:
            frames: RGB pictures of the clip. T of shape (H, W, 3), uint8; one picture of that shape is a clip of one.
            data_sample: An ``AVDataSample`` with ``gt_sem_seg`` and ``pred_sem_seg`` of shape (T, h, w), either of
                which may be missing, and the metainfo video_id, subset, split and category.
            log_mel: VGGish examples. Shape (T, 1, 96, 64). Default None: no sound row.
            scores: J of each frame in percent, None or NaN where there is none.
            draw_gt: Draw the truth if there is one. Default True.
            draw_pred: Draw the prediction if there is one. Default True.

        Returns:
            RGB picture. Shape (height, width, 3), uint8.
        """
        if isinstance(frames, np.ndarray) and frames.ndim == 3:
            frames = frames[None]
        meta = self.dataset_meta or {}
        facts = (data_sample.get(key) for key in ('subset', 'split', 'category'))
        return contact_sheet(
            frames,
            gt=_masks(data_sample, 'gt_sem_seg') if draw_gt else None,
            pred=_masks(data_sample, 'pred_sem_seg') if draw_pred else None,
            log_mel=None if log_mel is None else np.asarray(log_mel),
            title=str(data_sample.get('video_id', '')),
            subtitle=' · '.join(str(fact) for fact in facts if fact),
            scores=scores,
            classes=meta.get('classes'),
            palette=meta.get('palette'),
            with_errors=self.with_errors,
            alpha=self.alpha)

    @master_only
    def add_datasample(self, name: str, image: Sequence[np.ndarray], data_sample: BaseDataElement | None = None,
                       draw_gt: bool = True, draw_pred: bool = True, show: bool = False, wait_time: float = 0,
                       out_file: str | None = None, step: int = 0, log_mel: np.ndarray | None = None,
                       scores: Sequence[float | None] | None = None) -> None:
        """Draw a clip and show it, write it to ``out_file``, or hand it to the backends (main process only).

        Args:
            name: Name of the picture in the backends, or of the window.
            image: RGB frames of the clip. T of shape (H, W, 3), uint8.
            data_sample: See :meth:`draw_datasample`. Default None: frames and sound only.
            draw_gt: Draw the truth if there is one. Default True.
            draw_pred: Draw the prediction if there is one. Default True.
            show: Open a window instead of writing to the backends. Default False.
            wait_time: Seconds the window stays open; 0 means until it is closed.
            out_file: Write the picture to this PNG or JPEG instead of the backends.
            step: Step in the backends. Default 0.
            log_mel: VGGish examples. Shape (T, 1, 96, 64).
            scores: J of each frame in percent.
        """
        sheet = self.draw_datasample(image, data_sample if data_sample is not None else BaseDataElement(),
                                     log_mel, scores, draw_gt, draw_pred)
        self.set_image(sheet)
        if show:
            self.show(sheet, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_picture(Path(out_file), sheet)
        elif not show:
            self.add_image(name, sheet, step)


def _masks(data_sample: BaseDataElement, key: str) -> np.ndarray | None:
    """Masks of a clip as an array (T, h, w), or None when the sample has none."""
    if key not in data_sample:
        return None
    data = data_sample.get(key).data
    return np.asarray(data.cpu() if hasattr(data, 'cpu') else data).astype(np.uint8)
