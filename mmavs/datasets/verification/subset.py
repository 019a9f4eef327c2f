"""Looks over the tables and all clips of one subset."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mmavs.datasets.avsbench_layouts import LISTERS, SPLITS, find_folder, read_class_names, source_video

from .clips import ClipFacts, inspect_clip
from .findings import Report

# Clips of train, val and test as published. The papers speak of 12,356 videos in AVSS; its table has 11,356.
PUBLISHED_CLIPS = {
    's4': dict(train=3452, val=740, test=740),
    'ms3': dict(train=296, val=64, test=64),
    'avss': dict(train=8498, val=1304, test=1554),
}
PUBLISHED_CATEGORIES = {'s4': 23, 'avss': 3}
PUBLISHED_LEAKS = {'ms3': dict(val=41, test=38)}


def verify_subset(data_root: str, subset: str, expect_published: bool = True, workers: int = 4,
                  progress: Callable[[int, int], None] | None = None) -> Report:
    """Look over one subset.

    Args:
        data_root: As for ``AVSBenchDataset``.
        subset: ``s4``, ``ms3`` or ``avss``.
        expect_published: Compare with the published numbers: other counts of clips are errors, other sizes and rates
            warnings. Default True; False for data that was generated or made at home.
        workers: Threads. Default 4.
        progress: Called with the number of clips that are done and of all clips. Default: none.

    Returns:
        The report. A table that cannot be read is an error in it.

    Raises:
        FileNotFoundError: ``data_root`` or the table is missing.
    """
    folder = find_folder(data_root, subset)
    report = Report(subset, str(folder))
    try:
        clips = LISTERS[subset](folder)
        if subset == 'avss':
            read_class_names(folder)
    except ValueError as error:
        report.add('error', 'broken table', str(error))
        return report
    _check_counts(clips, report, expect_published)
    _check_leaks(clips, report, expect_published)
    _check_unlisted(clips, report)
    facts = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done in pool.map(partial(inspect_clip, expect_published=expect_published), clips):
            facts.append(done)
            report.findings.extend(done.findings)
            if progress is not None:
                progress(len(facts), len(clips))
    _check_duplicates(clips, facts, report)
    for split in SPLITS:
        _summarise(split, [fact for clip, fact in zip(clips, facts, strict=True) if clip['split'] == split], report)
    return report


def _check_counts(clips: Sequence[dict], report: Report, expect_published: bool) -> None:
    if not clips:
        report.add('error', 'empty table', f'the table in {report.folder} lists no clip; restore it from AVSBench.')
    found = Counter(clip['split'] for clip in clips)
    published = PUBLISHED_CLIPS[report.subset]
    report.splits.update({split: dict(clips=found[split], published=published[split]) for split in SPLITS})
    for split in SPLITS:
        if found[split] != published[split]:
            report.add('error' if expect_published else 'info', 'number of clips',
                       f'{split} has {found[split]} clips, published are {published[split]}.')
    categories = {clip['category'] for clip in clips if clip['category'] is not None}
    expected = PUBLISHED_CATEGORIES.get(report.subset)
    if expected is not None and len(categories) != expected:
        report.add('error' if expect_published else 'info', 'number of categories',
                   f'there are {len(categories)} categories, published are {expected}.')


def _check_leaks(clips: Sequence[dict], report: Report, expect_published: bool) -> None:
    """Clips of val and test that are cut from a source video of train; MS3 is published with many."""
    trained = {source_video(clip['video_id']) for clip in clips if clip['split'] == 'train'}
    for split in SPLITS[1:]:
        members = [clip['video_id'] for clip in clips if clip['split'] == split]
        leaked = [name for name in members if source_video(name) in trained]
        report.splits[split]['leaked'] = len(leaked)
        known = PUBLISHED_LEAKS.get(report.subset, {}).get(split, 0) if expect_published else 0
        if leaked:
            report.add('info' if len(leaked) == known else 'warning', 'leak',
                       f'{len(leaked)} of {len(members)} clips of {split} are cut from source videos that are in train'
                       f'{" (as published)" if len(leaked) == known else ""}, e.g. {leaked[0]!r}; '
                       'AVSBenchDataset(leak_free=True) leaves them out.')


def _check_unlisted(clips: Sequence[dict], report: Report) -> None:
    """Folders of clips that the table does not have."""
    listed = {str(Path(clip['img_path'][0]).parent) for clip in clips}
    parents = {path.parent.parent if report.subset == 'avss' else path.parent for path in map(Path, listed)}
    unlisted = []
    for parent in sorted(parents):
        for entry in sorted(parent.iterdir()) if parent.is_dir() else ():
            frames = entry / 'frames' if report.subset == 'avss' else entry
            # In AVSS a folder that an archive doubled holds clips, not frames.
            if frames.is_dir() and str(frames) not in listed:
                unlisted.append(entry)
    if unlisted:
        report.add('warning', 'clips that no table lists', f'{len(unlisted)} folders hold clips that the table does '
                   f'not list, e.g. {unlisted[0]}.')


def _check_duplicates(clips: Sequence[dict], facts: Sequence[ClipFacts], report: Report) -> None:
    """Clips with the same pictures or the same sound; between splits they leak."""
    for kind in ('frames', 'sound'):
        groups = defaultdict(list)
        for clip, fact in zip(clips, facts, strict=True):
            if kind in fact.digests:
                groups[fact.digests[kind]].append(clip)
        for group in groups.values():
            if len(group) > 1:
                splits = sorted({clip['split'] for clip in group}, key=SPLITS.index)
                names = ', '.join(f'{clip["video_id"]!r} ({clip["split"]})' for clip in group)
                across = f' between {" and ".join(splits)}' if len(splits) > 1 else ''
                report.add('warning', f'same {kind}{across or " twice"}', f'The clips {names} have the same {kind}.',
                           group[0]['video_id'])


def _summarise(split: str, facts: Sequence[ClipFacts], report: Report) -> None:
    """Numbers of a split for the summary."""
    seconds = [fact.seconds for fact in facts if fact.seconds is not None]
    report.splits[split].update(
        frames=sum(fact.frames for fact in facts), labelled=sum(fact.labelled for fact in facts),
        silent=sum(fact.silent for fact in facts),
        sizes=_tally(f'{fact.size[1]}x{fact.size[0]}' for fact in facts if fact.size is not None),
        mask_formats=_tally(name for fact in facts for name in fact.formats),
        rates=_tally(f'{fact.rate} Hz' for fact in facts if fact.rate is not None),
        channels=_tally(str(fact.channels) for fact in facts if fact.channels is not None),
        seconds=[min(seconds), max(seconds)] if seconds else None)


def _tally(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
