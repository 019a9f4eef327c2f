"""Writes clips and tables exactly as AVSBench publishes its S4, MS3 and AVSS subsets."""

import csv
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import soundfile
import torch

from mmavs.datasets.transforms.log_mel import vggish_log_mel
from mmavs.structures import AVSS_CLASSES, avss_palette

from .kinds import KIND_CLASSES
from .timbre import SAMPLE_RATE

SUBSET_FOLDERS = {'s4': 'Single-source', 'ms3': 'Multi-sources', 'avss': 'AVSBench-semantic'}
_TABLES = {
    's4': ('s4_meta_data.csv', ('name', 'start_time', 'category', 'split')),
    'ms3': ('ms3_meta_data.csv', ('video_id', 'split')),
    'avss': ('metadata.csv', ('vid', 'uid', 's_min', 's_sec', 'a_obj', 'split', 'label')),
}


@dataclass(frozen=True)
class Clip:
    """A finished clip.

    Attributes:
        name (str): Unique in its subset.
        split (str): ``train``, ``val`` or ``test``.
        label (str): Folder of the AVSS layout: ``v1s``, ``v1m`` or ``v2``.
        kinds (list[str]): Kinds of the S visible shapes.
        frames (np.ndarray): Shape (T, H, W, 3), uint8, BGR.
        visible (np.ndarray): Shape (T, H, W), uint8: 0 background, s + 1 for shape s.
        sounding (np.ndarray): Shape (T, S), bool.
        wave (np.ndarray): Shape (T * 16000,), float in [-1, 1].
    """

    name: str
    split: str
    label: str
    kinds: list[str]
    frames: np.ndarray
    visible: np.ndarray
    sounding: np.ndarray
    wave: np.ndarray

    def masks(self) -> np.ndarray:
        """Pixels of the shapes that sound. Shape (T, H, W), bool."""
        lookup = np.concatenate([np.zeros_like(self.sounding[:, :1]), self.sounding], axis=1)
        return lookup[np.arange(len(lookup))[:, None, None], self.visible]

    def class_masks(self) -> np.ndarray:
        """AVSS class of each sounding pixel, 0 elsewhere. Shape (T, H, W), uint8."""
        classes = np.array([0] + [AVSS_CLASSES.index(KIND_CLASSES[kind]) for kind in self.kinds], dtype=np.uint8)
        return classes[self.visible] * self.masks()


def write_clip(subset: str, folder: Path, clip: Clip, write_log_mel: bool = False) -> tuple:
    """Writes the files of one clip.

    Args:
        subset (str): ``s4``, ``ms3`` or ``avss``.
        folder (Path): The subset's own folder.
        clip (Clip): The clip.
        write_log_mel (bool): Also write the pickled log-mel of S4 and MS3. Defaults to False.

    Returns:
        tuple: The clip's row of the table.
    """
    if subset == 'avss':
        return _write_avss(folder, clip)
    binary = (clip.masks() * 255).astype(np.uint8)
    if subset == 's4':
        category = clip.kinds[int(clip.sounding[0].argmax())]
        data, inner = folder / 's4_data', Path(clip.split, category)
        pictures, prefix = data / 'visual_frames' / inner / clip.name, clip.name
        labelled, row = (1 if clip.split == 'train' else len(binary)), (clip.name, 0, category, clip.split)
    else:
        data, inner = folder / 'ms3_data', Path(clip.split)
        pictures, prefix = data / 'visual_frames' / clip.name, f'{clip.name}.mp4'
        labelled, row = len(binary), (clip.name, clip.split)
    for k, frame in enumerate(clip.frames, start=1):
        _write_image(pictures / f'{prefix}_{k}.png', frame)
    for k, mask in enumerate(binary[:labelled], start=1):
        _write_image(data / 'gt_masks' / inner / clip.name / f'{clip.name}_{k}.png', mask)
    _write_wav(data / 'audio_wav' / inner / f'{clip.name}.wav', clip.wave)
    if write_log_mel:
        path = data / 'audio_log_mel' / inner / f'{clip.name}.pkl'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(torch.from_numpy(vggish_log_mel(clip.wave, SAMPLE_RATE)[:, None])))
    return row


def _write_avss(folder: Path, clip: Clip) -> tuple:
    """One clip of AVSS: JPEG frames numbered from 0, masks as palette colours and as indices."""
    base = folder / clip.label / clip.name
    for k, frame in enumerate(clip.frames):
        _write_image(base / 'frames' / f'{k}.jpg', frame)
    labelled = 1 if (clip.label, clip.split) == ('v1s', 'train') else len(clip.frames)
    for k, mask in enumerate(clip.class_masks()[:labelled]):
        _write_image(base / 'labels_semantic' / f'{k}.png', mask)
        _write_image(base / 'labels_rgb' / f'{k}.png', avss_palette()[mask][..., ::-1])
    _write_wav(base / 'audio.wav', clip.wave)
    objects = '_'.join(KIND_CLASSES[kind] for kind in clip.kinds)
    return clip.name.rsplit('_', 1)[0], clip.name, 0, 0, objects, clip.split, clip.label


def write_table(subset: str, folder: Path, rows: list[tuple]) -> None:
    """Writes the csv of a subset, and ``label2idx.json`` for AVSS."""
    name, columns = _TABLES[subset]
    with open(folder / name, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([columns, *rows])
    if subset == 'avss':
        indices = {name: index for index, name in enumerate(AVSS_CLASSES, start=1)}
        (folder / 'label2idx.json').write_text(json.dumps(indices, indent=1), encoding='utf-8')


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == '.jpg' else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, data = cv2.imencode(path.suffix, np.ascontiguousarray(image), options)
    path.write_bytes(data.tobytes())


def _write_wav(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, SAMPLE_RATE, subtype='PCM_16')
