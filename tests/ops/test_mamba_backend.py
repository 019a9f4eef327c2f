import sys
from types import SimpleNamespace

import pytest
import torch

from mmavs.ops import mamba_backend, selective_scan
from tests.ops.scan_cases import naive_selective


@pytest.fixture
def calls(monkeypatch):
    """A mamba_ssm whose scan is the literal recurrence, and the calls it got."""
    made = []

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                          return_last_state=False):
        made.append(dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias))
        assert return_last_state
        return naive_selective(made[-1], delta_softplus)

    interface = SimpleNamespace(selective_scan_fn=selective_scan_fn, selective_scan_cuda=1)
    monkeypatch.setitem(sys.modules, 'mamba_ssm', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'mamba_ssm.ops', SimpleNamespace(selective_scan_interface=interface))
    monkeypatch.setitem(sys.modules, 'mamba_ssm.ops.selective_scan_interface', interface)
    return made


@pytest.mark.parametrize('softplus', [True, False])
def test_arguments_arrive_in_their_places(calls, softplus):
    torch.manual_seed(0)
    u, delta, B, C = torch.randn(2, 4, 9), torch.rand(2, 4, 9), torch.randn(2, 2, 3, 9), torch.randn(2, 2, 3, 9)
    A, D, bias = -torch.rand(4, 3), torch.randn(4), torch.rand(4)
    out, last = mamba_backend.mamba_selective_scan(u, delta, A, B, C, D, bias, softplus)
    expected, state = selective_scan(u, delta, A, B, C, D, None, bias, softplus, True, backend='torch')
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(last, state)


def test_double_precision_is_refused(calls):
    tokens, rows = torch.randn(1, 2, 5).double(), torch.randn(1, 1, 3, 5).double()
    with pytest.raises(TypeError, match='scans in float32 only, but the tokens are float64; choose backend='):
        mamba_backend.mamba_selective_scan(tokens, tokens, -torch.rand(2, 3).double(), rows, rows, None, None, True)
    assert calls == []


def test_half_precision_is_scanned_in_single(calls):
    tokens, rows = torch.randn(1, 2, 5).bfloat16(), torch.randn(1, 1, 3, 5).bfloat16()
    out, _ = mamba_backend.mamba_selective_scan(tokens, tokens, -torch.rand(2, 3), rows, rows, None, None, True)
    assert out.dtype == torch.float32
    assert {calls[0][name].dtype for name in ('u', 'delta', 'B', 'C')} == {torch.float32}
    assert torch.equal(calls[0]['u'], tokens.float())
