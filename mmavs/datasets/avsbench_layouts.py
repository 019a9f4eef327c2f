"""Where AVSBench keeps the files of each clip, as published: folders, tables, and the list of clips they give."""

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmavs.structures import AVSS_CLASSES

SPLITS = ('train', 'val', 'test')
# Subset -> its own folder, as published, and its table.
FOLDERS = {'s4': 'Single-source', 'ms3': 'Multi-sources', 'avss': 'AVSBench-semantic'}
TABLES = {'s4': 's4_meta_data.csv', 'ms3': 'ms3_meta_data.csv', 'avss': 'metadata.csv'}
OBJECT_FRAMES = 5
AVSS_FRAMES = {'v1s': 5, 'v1m': 5, 'v2': 10}


def find_folder(data_root: str, subset: str) -> Path:
    """The subset's own folder, given itself or its parent.

    Raises:
        FileNotFoundError: ``data_root`` does not exist, or holds no table of the subset.
    """
    root, table = Path(data_root), TABLES[subset]
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f'data_root {str(root)!r} does not exist; set data_root (or the variable MMAVS_DATA_ROOT) to the folder '
            f'that holds {FOLDERS[subset]}, or generate a small data set with '
            f'tools/dataset_tools/make_sounding_shapes.py {root} --subset {subset}.')
    for folder in (root, root / FOLDERS[subset]):
        if os.path.isfile(folder / table):
            return folder
    raise FileNotFoundError(
        f'data_root {str(root)!r} has neither {table} nor {FOLDERS[subset]}/{table}, so subset {subset!r} is not '
        'there; set data_root to the folder of the subset or to its parent.')


def source_video(video_id: str) -> str:
    """The YouTube id of a clip: its name without the trailing ``_<k>``."""
    return re.sub(r'_\d+$', '', video_id)


def read_table(path: Path, columns: Sequence[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads a csv file; a byte order mark, Windows line ends and blank lines do not matter.

    Args:
        path (Path): The file; its first line holds the names of the columns.
        columns (Sequence[str]): Columns that must be there.

    Returns:
        tuple[list[str], list[tuple[int, list[str]]]]: The header, and the rows with their line numbers.

    Raises:
        ValueError: The file is no csv, columns are missing or repeated, or a row has too few values.
    """
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            lines = [(number, [cell.strip() for cell in row])
                     for number, row in enumerate(csv.reader(file), start=1) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error.strerror}.') from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'{path} is no csv file in UTF-8: {error}.') from None
    header = lines[0][1] if lines else []
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ValueError(f'{path} has the columns {repeated} more than once; keep one of each.')
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f'{path} lacks the columns {missing}; its first line holds {header}, expected '
                         f'{list(columns)}.')
    for number, row in lines[1:]:
        if len(row) < len(header):
            raise ValueError(f'{path}, line {number}: {len(row)} values for {len(header)} columns.')
    return header, lines[1:]


def _keyed_rows(path: Path, columns: Sequence[str], key: Callable[[dict], tuple]) -> list[dict]:
    """Rows as dicts, checked for unknown splits, for names that leave the folder, and for clips of one name.

    The last part of ``key`` is the name. It stands for the clip in results and reports, so it may not come twice, not
    even in another split or category.
    """
    header, rows = read_table(path, columns)
    entries, lines = [], {}
    for number, row in rows:
        # zip: further cells of an overlong row have no name and no meaning.
        entry = dict(zip(header, row, strict=False), by_position=row)
        identity = key(entry)
        if entry['split'] not in SPLITS:
            raise ValueError(f'{path}: clip {identity[-1]!r} has the split {entry["split"]!r}; the splits are '
                             f'{list(SPLITS)}.')
        if any(not part or part in ('.', '..') or '/' in part or '\\' in part or '\0' in part for part in identity):
            raise ValueError(f'{path}: {identity} cannot be the name of a clip; names are single, non-empty folder '
                             'names.')
        first = lines.setdefault(identity[-1], (number, row))
        if first[0] != number:
            raise ValueError(f'{path} lists the clip {identity[-1]!r} more than once: line {first[0]} is '
                             f'{",".join(first[1])!r}, line {number} is {",".join(row)!r}; remove all but one of them.')
        entries.append(entry)
    return entries


def list_s4(folder: Path) -> list[dict]:
    """Clips of S4, all splits. Only the first frame of a training clip has a mask."""
    table = folder / TABLES['s4']
    # The published table is read by position: name, start time, category.
    header, _ = read_table(table, ('split', ))
    if len(header) < 4:
        raise ValueError(f'{table} has the columns {header}; expected name, start_time, category and split.')

    def key(entry: dict) -> tuple:
        return entry['split'], entry['by_position'][2], entry['by_position'][0]

    return [_object_clip(folder / 's4_data', 's4', split, name, category, labelled=1 if split == 'train' else None)
            for split, category, name in map(key, _keyed_rows(table, ('split', ), key))]


def list_ms3(folder: Path) -> list[dict]:
    """Clips of MS3, all splits. Every frame has a mask."""
    rows = _keyed_rows(folder / TABLES['ms3'], ('video_id', 'split'), lambda entry: (entry['video_id'], ))
    return [_object_clip(folder / 'ms3_data', 'ms3', row['split'], row['video_id'], None) for row in rows]


def _object_clip(data: Path, subset: str, split: str, name: str, category: str | None,
                 labelled: int | None = None) -> dict:
    """Paths of one clip of S4 or MS3, which differ in folders and in MS3's ``.mp4`` before the frame number."""
    inner = Path(split, category) if category is not None else Path(split)
    frames = data / 'visual_frames' / (inner if subset == 's4' else '') / name
    masks = data / 'gt_masks' / inner / name
    prefix = name if subset == 's4' else f'{name}.mp4'
    labelled = OBJECT_FRAMES if labelled is None else labelled
    return dict(
        video_id=name, category=category, subset=subset, split=split, mask_format='binary',
        img_path=[str(frames / f'{prefix}_{k}.png') for k in range(1, OBJECT_FRAMES + 1)],
        seg_map_path=[str(masks / f'{name}_{k}.png') if k <= labelled else None for k in range(1, OBJECT_FRAMES + 1)],
        audio_path=str(data / 'audio_wav' / inner / f'{name}.wav'),
        audio_logmel_path=str(data / 'audio_log_mel' / inner / f'{name}.pkl'))


def list_avss(folder: Path) -> list[dict]:
    """Clips of AVSS, all splits. Training clips of ``v1s`` have a mask on their first frame only.

    Raises:
        ValueError: The table names a label other than v1s, v1m and v2.
    """
    table = folder / TABLES['avss']
    clips = []
    for row in _keyed_rows(table, ('uid', 'split', 'label'), lambda entry: (entry['label'], entry['uid'])):
        label, uid, split = row['label'], row['uid'], row['split']
        if label not in AVSS_FRAMES:
            raise ValueError(f'{table}: clip {uid!r} has the label {label!r}; the labels are {list(AVSS_FRAMES)}.')
        # Unzipping the published archives into a folder of their own name doubles it.
        base = folder / label / uid
        if not base.is_dir() and (folder / label / label / uid).is_dir():
            base = folder / label / label / uid
        indexed = (base / 'labels_semantic').is_dir()
        masks = base / ('labels_semantic' if indexed else 'labels_rgb')
        count = AVSS_FRAMES[label]
        labelled = 1 if (label, split) == ('v1s', 'train') else count
        clips.append(dict(
            video_id=uid, category=label, subset='avss', split=split, mask_format='index' if indexed else 'palette',
            img_path=[str(base / 'frames' / f'{k}.jpg') for k in range(count)],
            seg_map_path=[str(masks / f'{k}.png') if k < labelled else None for k in range(count)],
            audio_path=str(base / 'audio.wav'), audio_logmel_path=None))
    return clips


LISTERS = {'s4': list_s4, 'ms3': list_ms3, 'avss': list_avss}


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Names of the 71 AVSS classes from ``label2idx.json``, or the built-in ones where there is no such file.

    The published file counts from 1, the masks from 0: class i is the name with the i-th smallest number.

    Raises:
        ValueError: The file is not a map from 71 names to 71 consecutive numbers.
    """
    path = folder / 'label2idx.json'
    if not path.is_file():
        return AVSS_CLASSES
    try:
        numbers = json.loads(path.read_text(encoding='utf-8-sig'))
        ordered = sorted(numbers, key=numbers.__getitem__)
        consecutive = [numbers[name] - numbers[ordered[0]] for name in ordered] == list(range(len(AVSS_CLASSES)))
    except (OSError, ValueError, AttributeError, TypeError, IndexError):
        consecutive = False
    if not consecutive:
        raise ValueError(f'{path} must map {len(AVSS_CLASSES)} names to consecutive numbers; restore it from AVSBench.')
    return tuple(ordered)
