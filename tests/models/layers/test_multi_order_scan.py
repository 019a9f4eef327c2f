import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmavs.models.layers.multi_order_scan import MultiOrderScan

from .slow_reference import scan_sequence


def make_scan(**kwargs):
    torch.manual_seed(0)
    scan = MultiOrderScan(6, 3, d_state=2, dt_rank=2, **kwargs).double()
    for parameter in scan.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return scan


def test_start_values():
    torch.manual_seed(0)
    scan = MultiOrderScan(512, 4)
    shapes = {name: tuple(parameter.shape) for name, parameter in scan.named_parameters()}
    assert shapes == dict(x_proj_weight=(4, 48, 512), dt_proj_weight=(4, 512, 16), dt_proj_bias=(4, 512),
                          A_log=(2048, 16), D=(2048,))
    step = torch.nn.functional.softplus(scan.dt_proj_bias)
    assert 1e-3 - 1e-6 <= step.min() < 1.2e-3
    assert 8e-2 < step.max() <= 1e-1 + 1e-6
    # Log-uniform: half of the steps lie below the geometric mean.
    assert (step < 1e-2).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(scan.A_log[1234], torch.arange(1., 17.).log())
    assert torch.equal(scan.D, torch.ones(2048))
    assert scan.dt_proj_weight.abs().max().item() == pytest.approx(0.25, abs=1e-3)
    assert scan.x_proj_weight.abs().max().item() == pytest.approx(1 / math.sqrt(512), abs=1e-4)


def test_any_permutations_equal_reference():
    scan, tokens = make_scan(), torch.randn(2, 7, 6, dtype=torch.float64)
    index = torch.stack([torch.randperm(7) for _ in range(3)])
    expected = torch.zeros_like(tokens)
    for b in range(2):
        for k in range(3):
            expected[b, index[k]] += scan_sequence(tokens[b, index[k]], scan, k)
    result = scan(tokens, index.int())
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-13)
    part = scan(tokens, index.int(), y_start=2, y_len=3)
    torch.testing.assert_close(part, expected[:, 2:5], rtol=0, atol=1e-13)


class Recorder(TorchDispatchMode):
    """Notes every operator that gives new memory, and how many values."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple) else out
        old = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        if isinstance(first, torch.Tensor) and first.untyped_storage().data_ptr() not in old:
            self.calls.append((str(func).split('.')[1], first.numel()))
        return out


def test_tokens_are_projected_once_and_never_reordered():
    scan, tokens = MultiOrderScan(64, 4, d_state=2, dt_rank=3), torch.randn(1, 500, 64)
    index = torch.stack([torch.randperm(500) for _ in range(4)]).int()
    with torch.no_grad(), Recorder() as record:
        scan(tokens, index)
    names = [name for name, _ in record.calls]
    assert [size for name, size in record.calls if name in ('mm', 'addmm')] == [500 * 4 * (3 + 2 * 2)]
    assert names[-1].startswith('cross_scan')
    assert sum(name.startswith('cross_scan') for name in names) == 1
    # Besides these two, only parameters are computed with: A, far smaller than the tokens.
    rest = [(name, size) for name, size in record.calls if name != 'mm' and not name.startswith('cross_scan')]
    assert max(size for _, size in rest) <= 4 * 64 * 2, rest


def test_all_parameters_get_gradients():
    scan = make_scan()
    scan(torch.randn(1, 5, 6, dtype=torch.float64), torch.stack([torch.arange(5)] * 3).int()).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in scan.parameters())


def test_bfloat16_tokens_are_scanned_in_float32():
    scan = MultiOrderScan(8, 1)
    tokens = torch.randn(1, 300, 8)
    index = torch.arange(300).int()[None]
    with torch.autocast('cpu', torch.bfloat16):
        low = scan(tokens.bfloat16(), index)
    assert low.dtype == torch.float32
    full = scan(tokens, index)
    assert (low - full).abs().max() < 0.02 * full.abs().max()


@pytest.mark.parametrize('value', [0, 2.5, '2', True, None])
@pytest.mark.parametrize('name', ['channels', 'num_orders', 'd_state', 'dt_rank'])
def test_impossible_numbers_are_named(name, value):
    settings = dict(channels=4, num_orders=2, d_state=2, dt_rank=2) | {name: value}
    with pytest.raises(ValueError, match=f'{name} of a scan must be a whole number of at least 1, but got {value!r}'):
        MultiOrderScan(**settings)
