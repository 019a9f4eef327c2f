"""The clips that a run leaves out, in one file for all its processes and data loading workers.

A worker has a copy of the dataset, so what it notes there the main process never sees. It appends to the file instead
that the environment variable ``RECORD_VARIABLE`` names; workers inherit the variable.
"""

import json
import os
from pathlib import Path

RECORD_VARIABLE = 'MMAVS_SKIPPED_CLIPS'


def record_skip(video_id: str, split: str, reason: str) -> bool:
    """Append a clip to the file of the run.

    Args:
        video_id: Name of the clip.
        split: Its split.
        reason: Why it cannot be loaded.

    Returns:
        Whether that is news: False if the file has the clip already, True also where there is no file or it cannot be
        written.
    """
    path = os.environ.get(RECORD_VARIABLE)
    if not path:
        return True
    if video_id in read_skips(path, split):
        return False
    try:
        # One short write at the end of the file: lines of several workers do not mix.
        with open(path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(dict(video_id=video_id, split=split, reason=reason)) + '\n')
    except OSError:
        # The clip is left out and named in the log all the same.
        pass
    return True


def read_skips(path: str | Path, split: str) -> dict[str, str]:
    """Clips of a split in a file of :func:`record_skip`, each once.

    Returns:
        Name -> reason, in the order of their discovery; empty without a file.
    """
    if not Path(path).is_file():
        return {}
    found = {}
    for line in Path(path).read_text(encoding='utf-8').splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            # The line that a killed worker or a full disk cut off.
            continue
        if entry['split'] == split:
            found.setdefault(entry['video_id'], entry['reason'])
    return found
