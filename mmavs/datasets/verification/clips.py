"""Looks at every file of one clip."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms.audio_files import decode_sound, read_pickled_log_mel
from mmavs.datasets.transforms.files import MASK_READERS, open_image, read_bytes, read_frame, read_palette_mask

from .findings import Finding

PUBLISHED_RATE = 16000
PUBLISHED_SIZE = (224, 224)
# A sound may be this much shorter or longer than a second for each frame, in seconds.
LENGTH_TOLERANCE = 0.5


@dataclass
class ClipFacts:
    """What was seen of a clip.

    Attributes:
        findings: What is wrong or strange.
        frames: Number of frames that can be read.
        labelled: Number of masks that can be read.
        silent: Number of these without any foreground.
        size: (height, width) of the first frame, or None.
        formats: Formats of the masks, e.g. ``L {0, 255}``.
        seconds: Length of the sound file, or None.
        rate: Its rate in Hz, or None.
        channels: Its channels, or None.
        digests: Hashes of the sound and of the frames, to find duplicates: kind -> hash.
    """

    findings: list[Finding] = field(default_factory=list)
    frames: int = 0
    labelled: int = 0
    silent: int = 0
    size: tuple[int, int] | None = None
    formats: list[str] = field(default_factory=list)
    seconds: float | None = None
    rate: int | None = None
    channels: int | None = None
    digests: dict[str, str] = field(default_factory=dict)


def inspect_clip(clip: dict, expect_published: bool = True) -> ClipFacts:
    """Look at all frames, masks and sounds of a clip; nothing is raised for what they hold.

    Args:
        clip: As a dataset lists it: ``img_path``, ``seg_map_path``, ``audio_path``, ``audio_logmel_path``, ...
        expect_published: Warn where size and rate are not those of AVSBench. Default True.

    Returns:
        Facts and findings.
    """
    facts = ClipFacts()

    def note(level: str, kind: str, message: str) -> None:
        facts.findings.append(Finding(level, kind, f'Clip {clip["video_id"]!r} ({clip["split"]}): {message}',
                                      clip['video_id']))

    _inspect_frames(clip, facts, note, expect_published)
    _inspect_masks(clip, facts, note)
    _inspect_sound(clip, facts, note, expect_published)
    return facts


def _read(action: Callable[[str], Any], path: str, kind: str, note: Callable) -> Any:
    """The result of ``action``, or None where the file is broken, which is noted."""
    try:
        return action(path)
    except DataFileError as error:
        note('error', kind, str(error))
        return None


def _inspect_frames(clip: dict, facts: ClipFacts, note: Callable, expect_published: bool) -> None:
    digest = hashlib.sha256()
    for path in clip['img_path']:
        frame = _read(read_frame, path, 'broken frame', note)
        if frame is None:
            continue
        facts.frames += 1
        digest.update(frame.tobytes())
        if facts.size is None:
            facts.size = frame.shape[:2]
        if frame.shape[:2] != facts.size:
            note('error', 'frames of several sizes', f'{path} is {_size(frame.shape)} pixels, the first frame '
                 f'{_size(facts.size)}.')
    if facts.frames == len(clip['img_path']):
        facts.digests['frames'] = digest.hexdigest()
    if expect_published and clip['subset'] != 'avss' and facts.size not in (None, PUBLISHED_SIZE):
        note('warning', 'size of the frames', f'the frames are {_size(facts.size)} pixels, published are '
             f'{_size(PUBLISHED_SIZE)}.')
    for paths, what in ((clip['img_path'], 'frames'), ([path for path in clip['seg_map_path'] if path], 'masks')):
        more = [path for path in _neighbours(paths[0]) if path not in paths] if paths else []
        if more:
            note('warning', f'more {what} than used', f'{os.path.dirname(paths[0])} holds {len(more)} {what} that are '
                 f'not used, e.g. {os.path.basename(more[0])}.')


def _neighbours(path: str) -> Iterator[str]:
    """Pictures in the folder of a file, in order."""
    folder = Path(path).parent
    if folder.is_dir():
        yield from sorted(str(entry) for entry in folder.iterdir() if entry.suffix == Path(path).suffix)


def _inspect_masks(clip: dict, facts: ClipFacts, note: Callable) -> None:
    for path in clip['seg_map_path']:
        mask = None if path is None else _read(MASK_READERS[clip['mask_format']], path, 'broken mask', note)
        if mask is None:
            continue
        facts.labelled += 1
        facts.silent += not mask.any()
        if facts.size is not None and mask.shape != facts.size:
            note('error', 'mask of another size', f'{path} is {_size(mask.shape)} pixels, the frames are '
                 f'{_size(facts.size)}.')
        if clip['mask_format'] == 'binary':
            facts.formats.append(_format(path))
        elif clip['mask_format'] == 'index':
            _compare_colours(path, mask, facts, note)
        else:
            facts.formats.append('palette')


def _format(path: str) -> str:
    """Pixel format and values of a mask that can be read, e.g. ``L {0, 255}``."""
    image = open_image(path)
    values = np.unique(np.asarray(image)).astype(int)
    return f'{image.mode} {{{", ".join(map(str, values))}}}'


def _compare_colours(path: str, mask: np.ndarray, facts: ClipFacts, note: Callable) -> None:
    """Where AVSS has a mask as indices and as colours, both must say the same."""
    facts.formats.append('index')
    painted = path.replace(f'{os.sep}labels_semantic{os.sep}', f'{os.sep}labels_rgb{os.sep}')
    if not os.path.lexists(painted):
        return
    colours = _read(read_palette_mask, painted, 'broken painted mask', note)
    if colours is not None and not np.array_equal(colours, mask):
        note('error', 'colours and indices differ', f'{painted} and {path} do not show the same classes.')


def _inspect_sound(clip: dict, facts: ClipFacts, note: Callable, expect_published: bool) -> None:
    path, pickled, count = clip['audio_path'], clip['audio_logmel_path'], len(clip['img_path'])
    if pickled is not None and os.path.lexists(pickled):
        log_mel = _read(read_pickled_log_mel, pickled, 'broken log-mel', note)
        if log_mel is not None and len(log_mel) != count:
            note('warning', 'length of a log-mel', f'{pickled} has {len(log_mel)} examples for {count} frames.')
    elif not os.path.lexists(path):
        note('error', 'no sound', f'{path} does not exist' + (f', nor does {pickled}.' if pickled else '.'))
        return
    if not os.path.lexists(path):
        note('warning', 'log-mel without sound file', f'{path} does not exist; its log-mel is used.')
        return
    sound = _read(lambda name: decode_sound(read_bytes(name), name), path, 'broken sound', note)
    if sound is None:
        return
    samples, facts.rate = sound
    facts.seconds, facts.channels = len(samples) / facts.rate, samples.shape[1]
    facts.digests['sound'] = hashlib.sha256(samples.tobytes()).hexdigest()
    if abs(facts.seconds - count) > LENGTH_TOLERANCE:
        note('warning', 'length of a sound', f'{path} lasts {facts.seconds:.2f} s, the clip has {count} frames, one '
             'for each second.')
    if expect_published and facts.rate != PUBLISHED_RATE:
        note('warning', 'rate of a sound', f'{path} has {facts.rate} Hz, published are {PUBLISHED_RATE} Hz.')
    if not samples.any():
        # Equal silence is no sign of a copied clip.
        del facts.digests['sound']
        note('warning', 'silent sound', f'{path} is silent all through.')


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[1]}x{shape[0]}'
