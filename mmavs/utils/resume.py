"""Finding the checkpoint from which an interrupted training can go on."""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from .safe_load import load_checkpoint_file

# Keys without which the optimizer, the logs or the position would start anew.
RESUME_KEYS = ('meta', 'state_dict', 'optimizer', 'message_hub')


class ResumeChoice(NamedTuple):
    """Outcome of :func:`find_resume_checkpoint`.

    Attributes:
        path: Newest valid checkpoint, or None.
        passed_over: Newer files that are not valid, each with the reason, newest first.
    """

    path: Path | None
    passed_over: list[tuple[Path, str]]


def find_resume_checkpoint(work_dir: str | Path, trust: bool | None = None) -> ResumeChoice:
    """Find the newest valid checkpoint of a training run.

    Newest means the highest step in the file's name (``epoch_12.pth`` < ``epoch_12_iter_3070.pth`` < ``epoch_13.pth``),
    not the time of the file, which a copy changes. Best and published checkpoints hold no optimizer and are not
    considered. Besides ``work_dir``, the folder named in its ``last_checkpoint`` file is searched.

    Args:
        work_dir: Folder of the run.
        trust: As for :func:`mmavs.utils.safe_load.load_checkpoint_file`.

    Returns:
        The choice; ``path`` is None and ``passed_over`` empty when there is nothing to resume from.
    """
    folders = [Path(work_dir)]
    pointer = folders[0] / 'last_checkpoint'
    if pointer.is_file() and pointer.read_text().strip():
        named = Path(pointer.read_text().strip()).parent
        if named.is_dir() and named.resolve() != folders[0].resolve():
            folders.append(named)
    candidates = [path for folder in folders for path in folder.glob('*.pth') if checkpoint_step(path)]
    candidates.sort(key=lambda path: (checkpoint_step(path), path.stat().st_mtime_ns), reverse=True)
    passed_over = []
    for path in candidates:
        defect = checkpoint_defect(path, trust)
        if defect is None:
            return ResumeChoice(path, passed_over)
        passed_over.append((path, defect))
    return ResumeChoice(None, passed_over)


def checkpoint_step(path: str | Path) -> tuple[int, ...]:
    """Sort key of a training checkpoint from its name: (12, 3070) for ``epoch_12_iter_3070.pth``.

    Returns:
        The numbers in the name; empty for a best, published or hidden file or a name without a number.
    """
    stem = Path(path).stem
    if stem.startswith(('best_', '.')) or re.search(r'-[0-9a-f]{8}$', stem):
        return ()
    return tuple(int(number) for number in re.findall(r'\d+', stem))


def checkpoint_defect(path: str | Path, trust: bool | None = None) -> str | None:
    """Read a checkpoint completely and say what is wrong with it.

    Checks that the archive is complete, that the checksum of each member is right, that the content can be opened
    without running code (unless trusted), and that it holds what resuming needs.

    Args:
        path: Checkpoint file.
        trust: As for :func:`mmavs.utils.safe_load.load_checkpoint_file`.

    Returns:
        None for a valid checkpoint, else the defect in a few words, without a full stop.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            return 'it is empty'
        if not zipfile.is_zipfile(path):
            return 'it is truncated or no checkpoint'
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            return f'its content is damaged (checksum of {damaged})'
        content = load_checkpoint_file(path, trust=trust)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        # The caller's sentence goes on behind it.
        return str(error).rstrip('.')
    missing = [key for key in RESUME_KEYS if not isinstance(content, dict) or key not in content]
    return f'it lacks {", ".join(missing)}, so training cannot resume from it' if missing else None
