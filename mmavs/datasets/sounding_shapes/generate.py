"""Generates whole subsets, several processes at once."""

import json
import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .kinds import KINDS
from .layouts import SUBSET_FOLDERS, Clip, write_clip, write_table
from .render import render_scene
from .scene import SceneStyle, sample_scene, scene_sound

SPLITS = ('train', 'val', 'test')
SUMMARY_NAME = 'sounding_shapes.json'
# Part of the summary: raise it when the same arguments give other clips.
RECIPE_VERSION = 1
# AVSS mixes three sources of clips; clip i belongs to the i-th of these, over and over.
_AVSS_LABELS = ('v1s', 'v1m', 'v2', 'v2')


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to make any clip of a subset."""

    subset: str
    folder: str
    seed: int
    image_size: int
    kinds: tuple[str, ...]
    num_shapes: tuple[int, int]
    write_log_mel: bool


def generate(root: str | Path,
             subset: str,
             clips: Mapping[str, int],
             seed: int = 0,
             image_size: int = 224,
             workers: int = 2,
             kinds: Sequence[str] = KINDS,
             num_shapes: tuple[int, int] = (2, 4),
             write_log_mel: bool = False,
             progress: bool = True) -> dict:
    """Writes one subset of SoundingShapes in AVSBench's published layout.

    A clip depends on (seed, subset, split, its number) alone, not on the number of workers or of clips. Where the same
    subset was already generated with the same arguments, nothing is written again.

    Args:
        root (str | Path): Parent of ``Single-source``, ``Multi-sources`` and ``AVSBench-semantic``.
        subset (str): ``s4``, ``ms3`` or ``avss``.
        clips (Mapping[str, int]): Clips of each split, e.g. ``dict(train=300, val=32, test=64)``.
        seed (int): Defaults to 0.
        image_size (int): Height in pixels, at least 64; AVSS frames are 4:3, the others square. Defaults to 224.
        workers (int): Processes; 0 works in this one. Defaults to 2.
        kinds (Sequence[str]): Kinds of shapes to use. Defaults to all of ``KINDS``.
        num_shapes (tuple[int]): Fewest and most visible shapes. Defaults to (2, 4).
        write_log_mel (bool): Also write S4's and MS3's pickled log-mels. Defaults to False.
        progress (bool): Show a progress bar. Defaults to True.

    Returns:
        dict: The summary, as stored in ``sounding_shapes.json`` in the subset's folder: the arguments and
        ``vision_only_J``, in percent per split.

    Raises:
        ValueError: An argument is out of range; the message names it.
        FileExistsError: The subset's folder holds a data set that this generator did not write.
    """
    if subset not in SUBSET_FOLDERS:
        raise ValueError(f'generate: unknown subset {subset!r}; use one of {list(SUBSET_FOLDERS)}.')
    _check_arguments(clips, seed, image_size, workers, kinds, num_shapes)
    folder = Path(root) / SUBSET_FOLDERS[subset]
    settings = dict(
        generator='SoundingShapes', recipe_version=RECIPE_VERSION, subset=subset, seed=seed, image_size=image_size,
        clips={split: clips[split] for split in SPLITS if split in clips}, kinds=list(kinds),
        num_shapes=list(num_shapes), write_log_mel=write_log_mel)
    _refuse_foreign_folder(folder)
    previous = _parse_summary(folder / SUMMARY_NAME)
    if previous is not None and {key: previous.get(key) for key in settings} == settings:
        return previous
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY_NAME).write_text(json.dumps(dict(settings, complete=False)), encoding='utf-8')
    recipe = Recipe(subset, str(folder), seed, image_size, tuple(kinds), tuple(num_shapes), write_log_mel)
    jobs = [(split, index) for split in settings['clips'] for index in range(clips[split])]
    rows, scores = [], {split: [] for split in settings['clips']}
    with tqdm(total=len(jobs), desc=f'SoundingShapes {subset}', unit='clip', disable=not progress) as bar:
        for (split, _), (row, score) in zip(jobs, _run(recipe, jobs, workers), strict=True):
            rows.append(row)
            scores[split].extend(score)
            bar.update()
    write_table(subset, folder, rows)
    summary = dict(settings, complete=True, vision_only_J={
        split: 100 * math.fsum(values) / len(values) for split, values in scores.items() if values})
    (folder / SUMMARY_NAME).write_text(json.dumps(summary, indent=1), encoding='utf-8')
    return summary


def make_clip(recipe: Recipe, split: str, index: int) -> Clip:
    """Clip ``index`` of a split, the same on every machine for the same recipe."""
    rng = np.random.default_rng([recipe.seed, list(SUBSET_FOLDERS).index(recipe.subset), SPLITS.index(split), index])
    label = _AVSS_LABELS[index % len(_AVSS_LABELS)]
    avss = recipe.subset == 'avss'
    width = round(recipe.image_size * 4 / 3) if avss else recipe.image_size
    scene = sample_scene(
        SceneStyle(
            num_frames=10 if avss and label == 'v2' else 5, size=(recipe.image_size, width), kinds=recipe.kinds,
            num_shapes=recipe.num_shapes, single_source=label == 'v1s' if avss else recipe.subset == 's4'), rng)
    frames, visible = render_scene(scene, rng)
    return Clip(name=f'shapes-{split}-{index:05d}_1', split=split, label=label, kinds=scene.kinds, frames=frames,
                visible=visible, sounding=scene.sounding, wave=scene_sound(scene, rng))


def frame_jaccard(prediction: np.ndarray, target: np.ndarray) -> float:
    """IoU of two (H, W) bool masks; where the target is empty, the share of pixels that are rightly left unmarked."""
    if not target.any():
        return float((~prediction).mean())
    return float((prediction & target).sum() / (prediction | target).sum())


def vision_only_J(root: str | Path, subset: str) -> dict[str, float]:  # noqa: N802
    """J of marking every shape, which needs no ears. It is the line to beat.

    Args:
        root (str | Path): As for :func:`generate`.
        subset (str): ``s4``, ``ms3`` or ``avss``.

    Returns:
        dict[str, float]: Percent per split, the mean over all frames, sounding or not, as AVSBench's J.

    Raises:
        ValueError: Unknown subset.
        FileNotFoundError: The subset was not generated under ``root``, or not to the end.
    """
    if subset not in SUBSET_FOLDERS:
        raise ValueError(f'vision_only_J: unknown subset {subset!r}; use one of {list(SUBSET_FOLDERS)}.')
    path = Path(root) / SUBSET_FOLDERS[subset] / SUMMARY_NAME
    summary = _parse_summary(path)
    if summary is None:
        raise FileNotFoundError(f'{path} does not describe a complete data set; generate it with '
                                f'tools/dataset_tools/make_sounding_shapes.py ROOT --subset {subset}.')
    return summary['vision_only_J']


def _make_and_write(recipe: Recipe, job: tuple[str, int]) -> tuple[tuple, list[float]]:
    """One clip: its row of the table, and the vision-only score of each frame."""
    cv2.setNumThreads(0)
    clip = make_clip(recipe, *job)
    row = write_clip(recipe.subset, Path(recipe.folder), clip, recipe.write_log_mel)
    masks = clip.masks()
    return row, [frame_jaccard(shapes > 0, mask) for shapes, mask in zip(clip.visible, masks, strict=True)]


def _run(recipe: Recipe, jobs: list[tuple[str, int]], workers: int) -> Iterator[tuple[tuple, list[float]]]:
    """Results in the order of the jobs."""
    if workers == 0:
        threads = cv2.getNumThreads()
        yield from map(_make_and_write, repeat(recipe), jobs)
        cv2.setNumThreads(threads)
        return
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn'
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
        yield from pool.map(_make_and_write, repeat(recipe), jobs, chunksize=4)


def _parse_summary(path: Path) -> dict | None:
    """The summary of a run that came to its end; None where there is none."""
    try:
        summary = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return summary if summary.get('complete') else None


def _refuse_foreign_folder(folder: Path) -> None:
    """Keeps real data sets from being overwritten.

    Raises:
        FileExistsError: The folder holds files, and no summary of this generator.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SUMMARY_NAME).is_file():
        raise FileExistsError(f'{folder} holds files that SoundingShapes did not write; choose another root, '
                              'so that no real data set is overwritten.')


def _check_arguments(clips: Mapping[str, int], seed: int, image_size: int, workers: int, kinds: Sequence[str],
                     num_shapes: tuple[int, int]) -> None:
    """Refuses arguments that cannot work, one sentence each."""
    unknown = sorted(set(clips) - set(SPLITS))
    if unknown or not clips:
        raise ValueError(f'generate: clips must map some of {list(SPLITS)} to a number, got {dict(clips)}.')
    if min(clips.values()) < 0 or sum(clips.values()) == 0:
        raise ValueError(f'generate: clips must hold numbers from 0 up and at least one clip, got {dict(clips)}.')
    if seed < 0 or workers < 0:
        raise ValueError(f'generate: seed and workers must be 0 or more, got seed={seed}, workers={workers}.')
    if image_size < 64:
        raise ValueError(f'generate: image_size must be at least 64 pixels, got {image_size}.')
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange or len(set(kinds)) != len(kinds):
        raise ValueError(f'generate: kinds must be different names out of {list(KINDS)}, got {list(kinds)}.')
    if not 1 <= num_shapes[0] <= num_shapes[1] < len(kinds):
        raise ValueError(f'generate: num_shapes={tuple(num_shapes)} must be (fewest, most) from 1 up, and below the '
                         f'{len(kinds)} kinds, one of which stays off screen.')
