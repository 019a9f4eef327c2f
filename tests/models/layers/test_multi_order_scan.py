import math

import pytest
import torch

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
