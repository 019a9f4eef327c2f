"""Whose sound a clip gets in the place of its own."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .transforms.files import MASK_READERS

SOUNDS = ('own', 'other_clip', 'other_category')
# Subsets that say what sounds: S4 by its categories, AVSS by the classes in its masks.
SUBSETS_WITH_CATEGORIES = ('s4', 'avss')


def find_donor(get_clip: Callable[[int], dict], count: int, index: int, sound_of: str) -> dict:
    """The next clip, in the order of the data set, whose sound may replace that of clip ``index``.

    Args:
        get_clip (Callable): Index -> clip, as a data set lists it.
        count (int): Number of clips.
        index (int): The clip that gets the sound.
        sound_of (str): ``other_clip``: the next one. ``other_category``: the next one that sounds, and shares nothing
            that sounds with the clip: another category of S4, or classes of AVSS that are not in any of its masks. Only
            frames with a label tell.

    Returns:
        dict: The other clip.

    Raises:
        ValueError: There is no such clip.
        DataFileError: A mask of AVSS cannot be read.
    """
    clip = get_clip(index)
    for step in range(1, count):
        other = get_clip((index + step) % count)
        if sound_of == 'other_clip' or (_sounding(other) and not _sounding(other) & _sounding(clip)):
            return other
    needed = {'other_clip': 'at least 2 clips', 'other_category': 'at least 2 categories'}[sound_of]
    if clip['subset'] == 'avss' and sound_of == 'other_category':
        needed = f'a clip without any class of clip {clip["video_id"]!r}'
    raise ValueError(f'AVSBenchDataset: sound_of={sound_of!r} needs {needed}; this data set has none.')


def _sounding(clip: dict) -> frozenset:
    """What sounds in a clip, by its labels."""
    if clip['subset'] == 'avss':
        return _mask_classes(tuple(path for path in clip['seg_map_path'] if path is not None), clip['mask_format'])
    return frozenset({clip['category']})


@lru_cache(maxsize=4096)
def _mask_classes(paths: tuple[str, ...], mask_format: str) -> frozenset:
    """The classes other than background in some masks of AVSS."""
    found = {int(value) for path in paths for value in np.unique(MASK_READERS[mask_format](path))}
    return frozenset(found - {0})
