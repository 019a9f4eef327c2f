"""Time and memory of a model on noise, for the comparison of input sizes and configs (the paper's Fig. 10)."""

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmavs.registry import MODELS
from mmavs.utils.building import build_model, published_form, random_clips
from mmavs.utils.complexity import count
from mmavs.utils.part_times import costliest, timed_operators, timed_parts


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        config: Path of the config file.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        frames: Frames of a clip.
        clips: Clips of a batch. Default 1.
        device: 'cpu' or 'cuda'. Default 'cpu'.
        repeats: Timed runs; the fastest counts. Default 3.
        mode: 'infer', or 'train' for forward and backward. Default 'infer'.
        options: Overrides of config entries, as ``--cfg-options``. Default none.
        parts: Costliest parts to name, see :func:`mmavs.utils.part_times.timed_parts`; with mode 'train' operators.
            Default 0.
    """

    config: str
    height: int
    width: int
    frames: int
    clips: int = 1
    device: str = 'cpu'
    repeats: int = 3
    mode: str = 'infer'
    options: tuple[tuple[str, Any], ...] = ()
    parts: int = 0


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep what libraries log at level INFO out of the output while the context is open."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


@quiet_logs()
def measure(case: Case) -> dict[str, Any]:
    """Build the model of a case, count its FLOPs, and time it.

    Args:
        case: What to measure.

    Returns:
        The fields of ``case`` without ``options`` and, in place of ``parts``, a list of (name, seconds, share of all)
        of the costliest ones; and: parameters; gflops of one clip (of the published
        form, see :func:`published_form`); peak_memory_mib (CUDA: the
        allocator's peak, weights included; CPU: growth of the process's resident memory from before the model was
        built, None where the system does not tell; too small where the process has freed memory of an earlier case,
        which the model then takes up); seconds of the fastest batch; clips_per_s; frames_per_s.
    """
    from mmengine.config import Config
    cfg = Config.fromfile(case.config)
    cfg.merge_from_dict(dict(case.options))
    # Importing the models takes memory, too, which is not theirs.
    MODELS.import_from_location()
    gc.collect()
    before = reset_peak_memory(case.device)
    model = build_model(cfg, device=case.device)
    inputs = random_clips(case.clips, case.frames, (case.height, case.width), case.device)
    run = _training_step(model, inputs) if case.mode == 'train' else _inference(model, inputs)
    run()
    seconds = min(_timed(run, case.device) for _ in range(case.repeats))
    peak = peak_memory(case.device)
    parts = _costliest_parts(model, run, case)
    model.eval()
    one_clip = random_clips(1, case.frames, (case.height, case.width), case.device)
    with published_form(model):
        complexity = count(model, lambda: model(one_clip, None, mode='tensor'))
    fields = {key: value for key, value in vars(case).items() if key != 'options'}
    return dict(
        fields,
        parts=parts,
        parameters=complexity.parameters[''],
        gflops=complexity.flops[''] / 1e9,
        uncounted_kernels=complexity.missing_kernels,
        peak_memory_mib=None if peak is None else max(peak - before, 0) / 2**20,
        seconds=seconds,
        clips_per_s=case.clips / seconds,
        frames_per_s=case.clips * case.frames / seconds)


def _costliest_parts(model: torch.nn.Module, run: Callable[[], None], case: Case) -> list[tuple[str, float, float]]:
    if not case.parts:
        return []
    if case.mode == 'train':
        return costliest(timed_operators(run), case.parts)
    with timed_parts(model) as seconds:
        run()
    return costliest(seconds, case.parts)


def reset_peak_memory(device: str) -> int:
    """Start a new peak; returns the bytes to subtract from it (on CUDA nothing)."""
    if device.startswith('cuda'):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return 0
    # Not every system lets a process reset its own peak.
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
    return _status('VmRSS') or 0


def peak_memory(device: str) -> int | None:
    """Peak in bytes since :func:`reset_peak_memory`: CUDA's allocator, or the resident memory of this process."""
    if device.startswith('cuda'):
        return torch.cuda.max_memory_allocated()
    return _status('VmHWM')


def _status(key: str) -> int | None:
    """A line of Linux's /proc/self/status in bytes, None on other systems."""
    status = Path('/proc/self/status')
    if not status.is_file():
        return None
    for line in status.read_text().splitlines():
        if line.startswith(key + ':'):
            return int(line.split()[1]) * 1024
    return None


def _inference(model: torch.nn.Module, inputs: dict) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            model(inputs, None, mode='tensor')

    return run


def _training_step(model: torch.nn.Module, inputs: dict) -> Callable[[], None]:
    model.train()

    def run() -> None:
        model.zero_grad(set_to_none=True)
        outputs = model(inputs, None, mode='tensor')
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        # Any scalar of the logits costs the same backward pass as the loss.
        sum(output.float().sigmoid().mean() for output in outputs).backward()

    return run


def _timed(run: Callable[[], None], device: str) -> float:
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter() - start
