"""Masks of what sounds, from films, folders of frames, or arrays.

Letters: T instants of a recording, H, W its size in pixels.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.structures import PixelData
from torch import nn
from tqdm import tqdm

from mmavs.registry import INFERENCERS
from mmavs.structures import AVDataSample
from mmavs.utils.building import build_model
from mmavs.utils.safe_load import load_weights
from mmavs.visualization import write_masks, write_picture

from .blending import Blender, InstantPrediction
from .clips import Clip, ClipPlan, cut_clips
from .devices import check_device
from .frame_painter import FramePainter
from .labels import Labels
from .model_zoo import find_model
from .pipeline import ClipPipeline
from .sources import Source, make_source
from .stage_timer import StageTimer


@INFERENCERS.register_module()
class AVSInferencer(BaseInferencer):
    """A model with its weights and the way its inputs are prepared.

    Recordings of any length are cut into clips as they are read; :meth:`stream` gives the predictions one instant at a
    time with constant memory, calling the object collects them.

    Args:
        model: Path of a config, a name in the package's metafile (e.g. ``pvt_ms3``), or a loaded config.
        weights: Checkpoint file. It is opened without running code from it. Default None: what the metafile names, else
            random weights, with a warning.
        device: E.g. ``cpu`` or ``cuda:0``. Default None: the GPU if there is one.
        trust_checkpoint: Open the checkpoint as an ordinary pickle, which runs whatever code it carries. Default False.

    Attributes:
        is_random: True if no weights were loaded, so that the masks mean nothing.
        labels: Names and colours of what is predicted.

    Raises:
        FileNotFoundError: If the config or the weights do not exist.
        ValueError: If the name is unknown, the config has no test pipeline, the weights do not fit the model, or the
            device cannot be used.
    """

    def __init__(self, model: str | Path | Config | dict, weights: str | Path | None = None, device: str | None = None,
                 trust_checkpoint: bool = False) -> None:
        if model is None:
            raise ValueError('model=None: give a config file or a model name; a config kept inside a checkpoint is not '
                             'used, because reading it would run it.')
        self._trust, self.is_random = trust_checkpoint, False
        check_device(device)
        super().__init__(model=str(model) if isinstance(model, Path) else model,
                         weights=None if weights is None else str(weights), device=device, scope='mmavs',
                         show_progress=False)
        self.labels = Labels.of_model(self.model)

    def __call__(self, inputs: Any, out_dir: str | Path | None = None, clip_seconds: int = 5, overlap: int = 0,
                 fps: int = 1, audio: str = 'require', batch_size: int = 1,
                 show_progress: bool = False) -> list[AVDataSample]:
        """Predict whole recordings.

        Args:
            inputs: A recording or a list of them. A recording is the path of a film; the path of a folder with the
                frames of a clip, one for each second, and one sound file; or ``(frames, waveform, sample_rate)`` (also
                as a dict with these keys) with frames of shape (T, H, W, 3), uint8, RGB, one for each second, and a
                waveform of shape (n,) or (n, channels), floats in [-1, 1].
            out_dir: Masks are written to ``<out_dir>/<name>/masks/<k>.png`` (0/255, or class indices with the palette),
                frames with their masks to ``<out_dir>/<name>/overlays/<k>.png``. Default None: nothing is written.
            clip_seconds: Length of the clips that the model sees. Default 5.
            overlap: Seconds that neighbouring clips share; their predictions are blended. Default 0.
            fps: Masks per second of a film. Default 1, at the published instants (second k + 15/16).
            audio: ``silence`` takes a recording without sound as silent; ``require`` makes it an error. Default
                ``require``.
            batch_size: Clips in one call of the model; ``test_cfg.clip_by_clip=False`` runs them at once. Default 1.
            show_progress: Show a progress bar over the recordings. Default False.

        Returns:
            One sample for each recording: ``pred_sem_seg.data`` (T, H, W) uint8, for binary models also
            ``pred_scores.data`` (T, H, W) float32, and the metainfo ``video_id``, ``ori_shape`` and ``seconds``, the
            T times. It grows with the length of the recording; use :meth:`stream` for long ones.

        Raises:
            MediaError: If a file cannot be used; the message names it.
            TypeError: If an input is none of these.
            ValueError: If an option or an array is wrong.
        """
        plan, samples, names = ClipPlan(clip_seconds, overlap), [], set()
        for item in tqdm(self._inputs_to_list(inputs), desc='recordings', disable=not show_progress):
            source = make_source(item, fps=fps, audio=audio, name=f'clip_{len(samples)}')
            sample = self.postprocess(source, list(self.stream(source, plan, batch_size=batch_size)))
            if out_dir is not None:
                folder = _free_name(source.name, names)
                self.visualize(source, sample, Path(out_dir) / folder)
            samples.append(sample)
        return samples

    def stream(self, source: Source, plan: ClipPlan | None = None, batch_size: int = 1, max_side: int | None = None,
               timer: StageTimer | None = None) -> Iterator[InstantPrediction]:
        """Predict a recording instant by instant; memory does not grow with its length.

        Args:
            source: From :func:`mmavs.apis.make_source`.
            plan: Length and overlap of the clips. Default None: 5 s without overlap.
            batch_size: Clips in one call of the model; ``test_cfg.clip_by_clip=False`` runs them at once. Default 1.
            max_side: Predictions are at most this many pixels wide and high. Default None: the recording's size.
            timer: Takes down the time for decoding, log-mel and network. Default None.

        Yields:
            Predictions in the order of time.
        """
        plan, timer = plan or ClipPlan(), timer or StageTimer()
        size, blender = _limited(source.size, max_side), Blender(self.labels.threshold)
        for clips, batch in self.preprocess(source, batch_size=batch_size, plan=plan, size=size, timer=timer):
            with timer('network'):
                values = [_values(sample) for sample in self.forward(batch)]
            for clip, value in zip(clips, values, strict=True):
                blender.add(clip.indices, clip.times, value)
                yield from blender.settle(clip.settled)

    def preprocess(self, inputs: Source, batch_size: int = 1, plan: ClipPlan | None = None,
                   size: tuple[int, int] | None = None,
                   timer: StageTimer | None = None) -> Iterator[tuple[list[Clip], dict]]:
        """Cut a recording into clips, and make batches of them, as they are asked for.

        Args:
            inputs: The recording.
            batch_size: Clips in a batch. Default 1.
            plan: Length and overlap. Default None: 5 s without overlap.
            size: (height, width) that the model predicts at. Default None: the recording's.
            timer: Takes down the time. Default None.

        Yields:
            The clips, and the collated batch of them.

        Raises:
            ValueError: If ``batch_size`` is not a whole number above 0.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size={batch_size!r} must be a whole number of clips, 1 or more.')
        plan, timer = plan or ClipPlan(), timer or StageTimer()
        clips = timer.iterate('decode', cut_clips(inputs, plan, self.pipeline.shrink))
        for chunk in self._get_chunk_data(clips, batch_size):
            packed = [self.pipeline(clip, size or inputs.size, timer) for clip in chunk]
            yield chunk, self.collate_fn(packed)

    def visualize(self, inputs: Source, preds: AVDataSample, out_dir: Path) -> None:
        """Write the masks of a recording, and its frames with the masks over them.

        Args:
            inputs: The recording; it is read a second time.
            preds: What :meth:`postprocess` made.
            out_dir: Folder, made when missing.
        """
        masks = preds.pred_sem_seg.data.cpu().numpy()
        write_masks(out_dir / 'masks', masks, self.labels.num_classes, self.labels.palette)
        painter = FramePainter(self.labels)
        for index, ((_, frame), mask) in enumerate(zip(inputs.frames(), masks, strict=True)):
            write_picture(out_dir / 'overlays' / f'{index}.png', painter.paint(frame, mask))

    def postprocess(self, inputs: Source, preds: Sequence[InstantPrediction]) -> AVDataSample:
        """Collect the predictions of a recording in one sample."""
        sample = AVDataSample(metainfo=dict(video_id=inputs.name, ori_shape=inputs.size,
                                            seconds=[float(pred.seconds) for pred in preds]))
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(np.stack([pred.mask for pred in preds])))
        if preds[0].scores is not None:
            sample.pred_scores = PixelData(data=torch.from_numpy(np.stack([pred.scores for pred in preds])))
        return sample

    def _inputs_to_list(self, inputs: Any) -> list:
        return inputs if isinstance(inputs, list) else [inputs]

    def _load_model_from_metafile(self, model: str) -> tuple[Config, str | None]:
        return find_model(model)

    def _init_model(self, cfg: Config, weights: str | None, device: str = 'cpu') -> nn.Module:
        model = build_model(cfg)
        if weights is None:
            self.is_random = True
            warnings.warn('AVSInferencer got no weights: the model is random, and so are its masks.', stacklevel=3)
        else:
            load_weights(model, weights, trust=self._trust)
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Config) -> ClipPipeline:
        return ClipPipeline.from_config(cfg)

    def _init_collate(self, cfg: Config) -> Callable:
        """Clips keep their lengths: they are listed, and the model's preprocessor puts them together."""
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        """Drawing needs no visualiser object; the config's would open its backends."""


def _values(sample: AVDataSample) -> np.ndarray:
    """Probabilities of a binary model, classes of the others. Shape (T, H, W)."""
    if 'pred_scores' in sample:
        return sample.pred_scores.data.float().cpu().numpy()
    return sample.pred_sem_seg.data.to(torch.uint8).cpu().numpy()


def _limited(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """Size with the same proportions whose longer side is at most ``max_side``."""
    factor = min(1.0, max_side / max(size)) if max_side else 1.0
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _free_name(name: str, taken: set[str]) -> str:
    """``name``, or with a number behind it where two recordings of one call are called the same."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f'{name}_{number}'
    taken.add(free)
    return free
