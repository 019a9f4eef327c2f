"""Times of the scan ops at the model's shapes, for check_gpu.py; needs torch and a CUDA device only.

Times are those of the device: it is kept busy until a whole pass is queued, so that the time it takes to launch kernels
does not count. They are compared with a copy of the same device measured in the same run, with the floors of an H200
(4.3 TB/s, 132 multiprocessors) and with mamba_ssm where its compiled scan is installed.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from check_gpu_cases import make_cross
from torch import Tensor

from mmavs.ops import cross_selective_scan
from mmavs.ops.mamba_backend import mamba_selective_scan, mamba_unusable_reason

# Clips or frames, orders, tokens; 512 channels and rank 16 throughout.
SHAPES = {'frames 224': (60, 4, 1029), 'clip 224': (6, 8, 10290), 'frames 512': (5, 4, 5376),
          'clip 512': (1, 8, 26880), 'clips 512, batch 2': (2, 8, 26880), 'clip 512, stride 4': (1, 8, 81920)}
KINDS = ((16, torch.float32), (16, torch.bfloat16), (1, torch.float32))   # states, dtype of the tokens
FLOORS = {1: (2.8, 4.7), 16: (4.3, 6.3)}   # ps per token, channel and order: forward, backward, on an H200
BUSY = 3_000_000   # clock cycles, about 1.6 ms: longer than it takes to queue a pass


def milliseconds(function: Callable[[], object], budget_ms: float = 400.) -> float:
    """Shortest time of a call on the device, by events, over 3 to 30 calls that take about ``budget_ms`` in all."""
    function()
    times: list[float] = []
    while len(times) < 3 or (len(times) < 30 and sum(times) < budget_ms):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(BUSY)
        begin.record()
        function()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


@cache
def copy_bandwidth() -> float:
    """Bytes read and written per second by a device-to-device copy of 1 GiB."""
    source = torch.empty(2 ** 28, device='cuda')
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source)) * 1e3


def time_passes(forward: Callable[[], Tensor], leaves: list[Tensor]) -> tuple[float, float]:
    """Milliseconds of a forward pass that keeps what the backward pass needs, and of that backward pass."""
    spent = milliseconds(forward)
    out = forward()
    dout = torch.ones_like(out)
    return spent, milliseconds(lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True))


def peak_memory(forward: Callable[[], Tensor], leaves: list[Tensor]) -> float:
    """GiB that one forward and backward pass needs besides its inputs."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = forward()
    torch.autograd.grad(out, leaves, torch.ones_like(out))
    return (torch.cuda.max_memory_allocated() - before) / 2 ** 30


def mamba_times(inputs: dict[str, Tensor]) -> tuple[float, float] | None:
    """Forward and backward of mamba_ssm's scan on tokens reordered and expanded beforehand, which flatters it.

    None where it is not installed.
    """
    if mamba_unusable_reason() is not None:
        return None
    batch, orders, length = inputs['Bm'].shape[:3]
    channels = inputs['u'].shape[-1]
    delta = torch.einsum('bklr,kcr->bkcl', inputs['delta'], inputs['dt_weight'])
    u = inputs['u'].transpose(1, 2).repeat(1, orders, 1).contiguous()
    B, C = (inputs[name].transpose(2, 3).contiguous() for name in ('Bm', 'Cm'))
    delta = delta.reshape(batch, orders * channels, length).contiguous()
    leaves = [x.detach().requires_grad_() for x in (u, delta, inputs['A'], B, C, inputs['D'], inputs['delta_bias'])]
    return time_passes(lambda: mamba_selective_scan(*leaves, True)[0], leaves)


def time_shape(batch: int, orders: int, length: int, n: int, dtype: torch.dtype, channels: int = 512) -> dict:
    """Times of one shape: milliseconds, ps per token, channel and order, and what these are in floors and copies."""
    made = make_cross('cuda', batch, orders, length, channels, n, rank=16, dtype=dtype)
    inputs = {k: v.requires_grad_(v.is_floating_point()) for k, v in made.items()}
    leaves = [x for x in inputs.values() if x.requires_grad]
    forward = partial(cross_selective_scan, **inputs)
    own = time_passes(forward, leaves)
    row = dict(forward_ms=own[0], backward_ms=own[1], extra_gib=peak_memory(forward, leaves))
    cells = batch * orders * length * channels
    for way, spent, floor in zip(('forward', 'backward'), own, FLOORS[n], strict=True):
        row[f'{way}_ps'] = spent * 1e9 / cells
        row[f'{way}_to_floor'] = row[f'{way}_ps'] / floor
        row[f'{way}_bytes_of_copy'] = spent * 1e-3 * copy_bandwidth() / cells
    peer = mamba_times(made) if dtype == torch.float32 else None
    return row if peer is None else row | dict(mamba_forward_ms=peer[0], mamba_backward_ms=peer[1])


def all_times() -> dict[str, Callable[[], dict]]:
    """Name -> measurement; the first is the copy that the others are compared with."""
    times: dict[str, Callable[[], dict]] = {'copy of 1 GiB': lambda: dict(copy_bytes_per_s=copy_bandwidth())}
    for name, sizes in SHAPES.items():
        for n, dtype in KINDS:
            label = f'{name}, n={n}, {str(dtype).removeprefix("torch.")}'
            times[label] = partial(time_shape, *sizes, n, dtype)
    return times
