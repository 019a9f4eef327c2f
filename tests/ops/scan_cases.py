"""Inputs, an independent slow reference and the measure of error that the tests of the scans share."""

import math
import os

import pytest
import torch
import torch.nn.functional as F

from mmavs.ops import cross_selective_scan, selective_scan
from mmavs.ops.ext_loader import load_extension

# Goes before a script that must not find the compiled ops.
HIDE_EXTENSION = '''
import pathlib
original = pathlib.Path.glob
pathlib.Path.glob = lambda self, pattern: [] if pattern.startswith('_ext') else original(self, pattern)
'''
NATIVE = ('cpp-generic', 'cpp-avx2', 'cpp-avx512')
NAMES = ('u', 'delta', 'A', 'Bm', 'Cm', 'D', 'delta_bias', 'dt_weight')


def native_or_skip():
    if load_extension() is not None:
        pytest.skip(load_extension())


def skip_absent_isa(error):
    """Skip where the machine lacks the instruction set; any other error of a kernel is one of the test."""
    if not str(error).startswith('MMAVS_CPU_ISA must be one of'):
        raise error
    pytest.skip(str(error).splitlines()[0])


@pytest.fixture(params=('torch', *NATIVE))
def backend(request, monkeypatch):
    """Each backend, the native one with each instruction set of this machine."""
    name, _, isa = request.param.partition('-')
    if name == 'cpp':
        native_or_skip()
        monkeypatch.setenv('MMAVS_CPU_ISA', isa)
        x = torch.ones(1, 1, 1)
        try:
            selective_scan(x, x, -torch.ones(1, 1), x, x, backend='cpp')
        except RuntimeError as error:
            skip_absent_isa(error)
    return name


def permutations(scans, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(length, generator=generator) for _ in range(scans)]
    return torch.stack(rows).to(torch.int32)


def make_cross(batch=2, length=65, channels=5, scans=2, n=3, rank=0, dtype=torch.float64, D=True, bias=True, seed=0):
    """Inputs as the model makes them: step sizes log-uniform in [1e-3, 1e-1], A = -(1..n)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    step = torch.exp(torch.rand(scans * channels, generator=generator, dtype=torch.float64)
                     * (math.log(0.1) - math.log(1e-3)) + math.log(1e-3))
    inputs = dict(
        u=normal(batch, length, channels), delta=normal(batch, scans, length, rank or channels),
        A=-torch.arange(1, n + 1, dtype=torch.float64) * torch.exp(0.1 * normal(scans * channels, n)),
        Bm=normal(batch, scans, length, n), Cm=normal(batch, scans, length, n),
        D=normal(scans * channels) if D else None,
        delta_bias=step + torch.log(-torch.expm1(-step)) if bias else None,
        dt_weight=normal(scans, channels, rank) * rank**-0.5 if rank else None)
    return {name: None if x is None else x.to(dtype) for name, x in inputs.items()}


def naive_cross(inputs, index, y_start=0, y_len=None, softplus=True):
    """Literal recurrence, token by token, without any table trick: copies, scan, merge."""
    u, delta, A, Bm, Cm, D, delta_bias, dt_weight = (inputs[name] for name in NAMES)
    scans, length = index.shape
    channels = u.shape[2]
    if dt_weight is not None:
        delta = torch.einsum('bklr,kcr->bklc', delta, dt_weight)
    total = torch.zeros_like(u)
    for k in range(scans):
        rows = slice(k * channels, (k + 1) * channels)
        order = index[k].long()
        visited, step, B_k, C_k = u[:, order], delta[:, k, order], Bm[:, k, order], Cm[:, k, order]
        if delta_bias is not None:
            step = step + delta_bias[rows]
        if softplus:
            step = torch.logaddexp(step, torch.zeros((), dtype=step.dtype))
        h = u.new_zeros(u.shape[0], channels, A.shape[1])
        outputs = []
        for t in range(length):
            decay = torch.exp(step[:, t, :, None] * A[rows])
            h = decay * h + (step[:, t] * visited[:, t])[..., None] * B_k[:, t, None]
            y = (h * C_k[:, t, None]).sum(-1)
            outputs.append(y if D is None else y + D[rows] * visited[:, t])
        if length:
            total = total.index_add(1, order, torch.stack(outputs, 1))
    return total[:, y_start:length if y_len is None else y_start + y_len]


def leaves(inputs, dtype=None):
    return {name: None if x is None else x.detach().to(dtype or x.dtype).requires_grad_() for name, x in inputs.items()}


def run_cross(inputs, index, backend, **options):
    inputs = dict(inputs)
    return cross_selective_scan(*(inputs[name] for name in NAMES[:7]), index=index, dt_weight=inputs['dt_weight'],
                                backend=backend, **options)


def with_gradients(function, inputs, seed=1):
    """Output and gradients (in the order of the inputs that are there) for one fixed output gradient, as float64."""
    inputs = leaves(inputs)
    out = function(inputs)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    present = [x for x in inputs.values() if x is not None]
    gradients = torch.autograd.grad(out, present, weight.to(out.dtype))
    return [x.detach().double() for x in (out, *gradients)]


def error(value, expected):
    """Largest error relative to the largest expected value; infinite if something is not finite."""
    if value.shape != expected.shape or not value.isfinite().all():
        return math.inf
    if expected.numel() == 0:
        return 0.0
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return float((value.double() - expected).abs().max() / scale)


def assert_close(values, expected, out, grad):
    errors = [error(x, y) for x, y in zip(values, expected, strict=True)]
    assert errors[0] <= out, errors
    assert max(errors[1:], default=0.0) <= grad, errors


def naive_selective(inputs, softplus):
    """``selective_scan`` by the literal recurrence; B and C of shape (B, G, n, L)."""
    u, delta, A, B, C = (inputs[name] for name in ('u', 'delta', 'A', 'B', 'C'))
    D, z, delta_bias = (inputs[name] for name in ('D', 'z', 'delta_bias'))
    repeats = u.shape[1] // B.shape[1]
    B, C = B.repeat_interleave(repeats, 1), C.repeat_interleave(repeats, 1)
    step = delta if delta_bias is None else delta + delta_bias[:, None]
    if softplus:
        step = torch.logaddexp(step, torch.zeros((), dtype=step.dtype))
    h = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        h = torch.exp(step[:, :, t, None] * A) * h + (step * u)[:, :, t, None] * B[..., t]
        y = (h * C[..., t]).sum(-1)
        outputs.append(y if D is None else y + D * u[..., t])
    out = torch.stack(outputs, 2) if outputs else torch.zeros_like(u)
    return (out if z is None else out * F.silu(z)), h


def in_subprocess_environment(**variables):
    return {**os.environ, 'OMP_NUM_THREADS': '1', **variables}
