"""Which parts of a model take the time of a forward pass, and which operators that of training."""

import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import nn


@contextlib.contextmanager
def timed_parts(model: nn.Module) -> Iterator[dict[str, float]]:
    """Time the parts of a model in the forward passes of this context.

    A part is the model's own child (backbone, neck, ...) or a module of this package inside one; its time is without
    that of the parts inside it, so that the times add up to that of the model. Equal parts are added up under
    ``child ClassName``, e.g. ``neck VSSBlock``. On CUDA each part waits for the device, which takes time itself.

    Args:
        model: Any module.

    Yields:
        Name -> seconds, filled while the passes run.
    """
    seconds: dict[str, float] = defaultdict(float)
    open_parts: list[list[float]] = []  # start, seconds of the parts inside
    handles = []
    for name, module in model.named_modules():
        child, _, inner = name.partition('.')
        if name and (not inner or type(module).__module__.startswith('mmavs.')):
            key = f'{child} {type(module).__name__}'
            handles.append(module.register_forward_pre_hook(lambda *_: open_parts.append([_now(), 0.0])))
            handles.append(module.register_forward_hook(
                lambda *_, key=key: _close(key, seconds, open_parts), always_call=True))
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()


def _close(key: str, seconds: dict[str, float], open_parts: list[list[float]]) -> None:
    start, inside = open_parts.pop()
    whole = _now() - start
    seconds[key] += whole - inside
    if open_parts:
        open_parts[-1][1] += whole


def _now() -> float:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed_operators(run: Callable[[], None]) -> dict[str, float]:
    """Time the operators of one call, forward and backward, without what they call themselves.

    The forward pass of an op of this package stands in PyTorch's record under the name of its generated autograd rule,
    ``GeneratedBackwardFor_mmavs_..._default``; here it has the op's own name.

    Args:
        run: What to time.

    Returns:
        Name of the operator -> seconds on the device.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_initialized():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        run()
    kind = 'self_device_time_total' if len(activities) > 1 else 'self_cpu_time_total'
    seconds: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        name = re.sub(r'^GeneratedBackwardFor_(mmavs)_(\w+)_default$', r'\1::\2', event.key)
        seconds[name] += getattr(event, kind) / 1e6
    return dict(seconds)


def costliest(seconds: dict[str, float], count: int) -> list[tuple[str, float, float]]:
    """The entries that take most: (name, seconds, share of all), the costliest first."""
    whole = sum(seconds.values()) or 1.0
    return [(name, time_, time_ / whole) for name, time_ in
            sorted(seconds.items(), key=lambda item: -item[1])[:count]]
