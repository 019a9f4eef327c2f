"""AVSBench as an mmengine dataset: one item is one clip."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmavs.registry import DATASETS
from mmavs.structures import AVSS_CLASSES, avss_palette
from mmavs.utils.skipped_clips import record_skip

from .avsbench_layouts import FOLDERS, LISTERS, SPLITS, find_folder, read_class_names, source_video
from .errors import ClipDataError, DataFileError
from .sound_donors import SOUNDS, SUBSETS_WITH_CATEGORIES, find_donor
from .transforms import LoadClipFrames, LoadClipMasks, LogMelSpectrogram

_LOADERS = (LoadClipFrames, LoadClipMasks, LogMelSpectrogram)
BINARY_METAINFO = dict(classes=('background', 'sounding'), palette=[(0, 0, 0), (255, 190, 11)])


@DATASETS.register_module()
class AVSBenchDataset(BaseDataset):
    """AVSBench's S4, MS3 and AVSS in their published layouts.

    An item starts as ``img_path`` and ``seg_map_path`` (lists of T; None for a frame without a label), ``audio_path``,
    ``audio_logmel_path``, ``video_id``, ``category`` (S4: the category, AVSS: v1s, v1m or v2, MS3: None), ``subset``,
    ``split`` and ``mask_format``, and goes through ``pipeline``.

    Args:
        subset (str): ``s4``, ``ms3`` or ``avss``.
        split (str): ``train``, ``val`` or ``test``.
        data_root (str): The subset's own folder, or the parent of ``Single-source``, ``Multi-sources`` and
            ``AVSBench-semantic``.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to none.
        leak_free (bool): Leave out clips whose source video also has a clip in train (38 of 64 test clips of MS3); for
            val and test. Defaults to False: the published splits.
        categories (Sequence[str], optional): Keep only these categories of S4 or labels of AVSS (``v1s``, ``v1m``,
            ``v2``). Defaults to None: all.
        on_error (str): What to do with a clip that cannot be loaded: ``raise`` names it and stops; ``skip`` leaves it
            out, counts it and lists it in ``skipped``. With ``skip``, clips with missing or empty files are left out at
            the start; val and test clips are also decoded once at the start, and a training clip that turns out to
            be damaged later is replaced by another. Defaults to ``raise``.
        sound_of (str): ``own``; ``other_clip`` gives each clip the sound of the next one, ``other_category`` that of
            the next one of another category (S4), or whose masks have no class in common with its own (AVSS; not for
            MS3): a model that listens gets worse. Defaults to ``own``.
        metainfo (dict, optional): Overrides ``classes`` and ``palette``. Defaults to None.
        indices (int | Sequence[int], optional): Keep only the first clips, or these. Defaults to None.
        serialize_data (bool): Keep the list of clips as bytes that workers share. Defaults to True.
        test_mode (bool, optional): Never replace a clip. Defaults to None: True for val and test.
        lazy_init (bool): Do not read the table yet. Defaults to False.
        max_refetch (int): How many replacements of damaged training clips are tried in a row. Defaults to 100.

    Raises:
        ValueError: An unknown ``subset``, ``split``, ``on_error``, ``sound_of`` or category; a broken table.
        FileNotFoundError: ``data_root`` or the table is missing.
        ClipDataError: (on access) a clip cannot be loaded; the message names the clip and the file.
    """

    METAINFO = BINARY_METAINFO

    def __init__(self,
                 subset: str,
                 split: str,
                 data_root: str,
                 pipeline: Sequence[dict | Callable] = (),
                 leak_free: bool = False,
                 categories: Sequence[str] | None = None,
                 on_error: str = 'raise',
                 sound_of: str = 'own',
                 metainfo: dict | None = None,
                 indices: int | Sequence[int] | None = None,
                 serialize_data: bool = True,
                 test_mode: bool | None = None,
                 lazy_init: bool = False,
                 max_refetch: int = 100) -> None:
        for name, value, allowed in (('subset', subset, tuple(FOLDERS)), ('split', split, SPLITS),
                                     ('on_error', on_error, ('raise', 'skip')),
                                     ('sound_of', sound_of, SOUNDS)):
            if value not in allowed:
                raise ValueError(f'AVSBenchDataset: {name} must be one of {list(allowed)}, got {value!r}.')
        if leak_free and split == 'train':
            raise ValueError("AVSBenchDataset: leak_free leaves out val or test clips; split is 'train'.")
        if sound_of == 'other_category' and subset not in SUBSETS_WITH_CATEGORIES:
            raise ValueError(f"AVSBenchDataset: sound_of='other_category' needs the categories of s4 or the classes of "
                             f"avss; {subset} has none, use 'other_clip'.")
        self.subset = subset
        self.split = split
        self.leak_free = leak_free
        self.categories = None if categories is None else tuple(categories)
        self.on_error = on_error
        self.sound_of = sound_of
        self.skipped: list[tuple[str, str]] = []
        self._failures_in_a_row = 0
        defaults = {}
        if subset == 'avss':
            defaults.update(classes=AVSS_CLASSES, palette=[tuple(map(int, colour)) for colour in avss_palette()])
        self._given_metainfo = dict(metainfo or {})
        super().__init__(
            metainfo=dict(defaults, **self._given_metainfo), data_root=data_root, data_prefix={}, indices=indices,
            serialize_data=serialize_data, pipeline=list(pipeline), lazy_init=lazy_init, max_refetch=max_refetch,
            test_mode=split != 'train' if test_mode is None else test_mode)

    def load_data_list(self) -> list[dict]:
        """Clips of the split, in the order of the table."""
        folder = find_folder(self.data_root, self.subset)
        if self.subset == 'avss' and 'classes' not in self._given_metainfo:
            self._metainfo['classes'] = read_class_names(folder)
        clips = LISTERS[self.subset](folder)
        chosen = [clip for clip in clips if clip['split'] == self.split]
        if self.leak_free:
            leaked = _leaked(clips, self.split)
            chosen = [clip for clip in chosen if clip['video_id'] not in leaked]
        if not chosen:
            raise ValueError(f'{folder} has no clip of split {self.split!r}' +
                             (' whose source video is not in train.' if self.leak_free else '; look into its table.'))
        return chosen

    def leaked_clips(self) -> set[str]:
        """Names of this split's clips whose source video also has a clip in train; none for train itself.

        They are those that ``leak_free=True`` leaves out, by the table alone; the files are not looked at.
        """
        return _leaked(LISTERS[self.subset](find_folder(self.data_root, self.subset)), self.split)

    def filter_data(self) -> list[dict]:
        """Keeps the wanted categories and, with ``on_error='skip'``, the clips that can be loaded."""
        clips = self.data_list
        if self.categories is not None:
            known = sorted({clip['category'] for clip in clips if clip['category'] is not None})
            unknown = [name for name in self.categories if name not in known]
            if unknown:
                raise ValueError(f'AVSBenchDataset: categories {unknown} are not in {self.subset} {self.split}; '
                                 f'it has {known or "none"}.')
            clips = [clip for clip in clips if clip['category'] in self.categories]
        if self.on_error == 'skip':
            clips = self._without_broken(clips)
        return clips

    def _without_broken(self, clips: list[dict]) -> list[dict]:
        """Leaves out clips with missing or empty files and, for val and test, with damaged ones; lists them."""
        problem = partial(_find_damage, loaders=self._loaders()) if self.test_mode else _find_absence
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            problems = list(pool.map(problem, clips))
        kept = [clip for clip, reason in zip(clips, problems, strict=True) if reason is None]
        for clip, reason in zip(clips, problems, strict=True):
            if reason is not None:
                self._note_skip(clip['video_id'], reason)
        if self.skipped:
            print_log(f'{self.subset} {self.split}: {len(self.skipped)} of {len(clips)} clips are left out.',
                      logger='current', level=logging.WARNING)
        if not kept:
            raise ValueError(f'{self.subset} {self.split}: none of the {len(clips)} clips can be loaded; the first '
                             f'reason is: {self.skipped[0][1]}')
        return kept

    def _loaders(self) -> list[Callable[[dict], dict]]:
        """The pipeline's own loading steps, with their settings, or the default ones where it has none."""
        own = [step for step in self.pipeline.transforms if isinstance(step, _LOADERS)]
        return own or [loader() for loader in _LOADERS]

    def _note_skip(self, video_id: str, reason: str) -> None:
        if video_id not in {name for name, _ in self.skipped}:
            self.skipped.append((video_id, reason))
            # A worker forgets its list at the end of an epoch; the run's file does not.
            if record_skip(video_id, self.split, reason):
                print_log(f'Clip {video_id!r} is left out: {reason}', logger='current', level=logging.WARNING)

    def prepare_data(self, idx: int) -> dict | None:
        """Runs the pipeline on clip ``idx``.

        Returns:
            dict | None: The pipeline's result; None asks mmengine for another clip (training with ``skip``).

        Raises:
            ClipDataError: The clip cannot be loaded.
        """
        info = self.get_data_info(idx)
        try:
            if self.sound_of != 'own':
                donor = find_donor(self.get_data_info, len(self), idx, self.sound_of)
                info.update({key: donor[key] for key in ('audio_path', 'audio_logmel_path')})
            results = self.pipeline(info)
        except DataFileError as error:
            if self.on_error == 'skip' and not self.test_mode:
                self._note_skip(info['video_id'], str(error))
                self._failures_in_a_row += 1
                if self._failures_in_a_row <= self.max_refetch:
                    return None
            raise self._clip_error(info['video_id'], str(error)) from None
        self._failures_in_a_row = 0
        return results

    def _clip_error(self, video_id: str, reason: str) -> ClipDataError:
        """Names clip, file and cure."""
        cure = "Restore the file, or set on_error='skip' in the dataset to leave such clips out."
        if self.on_error == 'skip':
            cure = 'It could be loaded when the run began: restore the file.' if self.test_mode else (
                f'It is the last of {self._failures_in_a_row} damaged clips in a row: look for what became of the '
                'files, they are too many to replace.')
        return ClipDataError(f'Clip {video_id!r} ({self.subset}, {self.split}) cannot be loaded: {reason} {cure}')


def _leaked(clips: Sequence[dict], split: str) -> set[str]:
    """Names of the clips of a split, other than train, whose source video is in train."""
    if split == 'train':
        return set()
    trained = {source_video(clip['video_id']) for clip in clips if clip['split'] == 'train'}
    return {clip['video_id'] for clip in clips
            if clip['split'] == split and source_video(clip['video_id']) in trained}


def _find_absence(clip: dict) -> str | None:
    """What is missing from a clip, by looking at its files from outside; None where nothing is."""
    for path in [*clip['img_path'], *clip['seg_map_path']]:
        if path is not None and not (os.path.isfile(path) and os.path.getsize(path)):
            return f'{path} does not exist or is empty.'
    sounds = [path for path in (clip['audio_path'], clip['audio_logmel_path']) if path is not None]
    if not any(os.path.lexists(path) for path in sounds):
        return f'{" and ".join(sounds)}: not there, the clip has no sound.'
    return None


def _find_damage(clip: dict, loaders: Sequence[Callable[[dict], dict]]) -> str | None:
    """What is wrong with a clip, by loading all of it; None where it is sound."""
    try:
        results = dict(clip)
        for load in loaders:
            results = load(results)
    except DataFileError as error:
        return str(error)
    return None
