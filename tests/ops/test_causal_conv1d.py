import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mmavs.ops import causal_conv1d

MODULE = sys.modules[causal_conv1d.__module__]


@pytest.mark.parametrize('width', [1, 3, 4])
@pytest.mark.parametrize('activation', [None, 'silu'])
def test_against_loops(width, activation):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, 6), torch.randn(3, width), torch.randn(3)
    expected = bias[None, :, None].repeat(2, 1, 6)
    for token in range(6):
        for j in range(width):
            if token - width + 1 + j >= 0:
                expected[:, :, token] += weight[:, j] * x[:, :, token - width + 1 + j]
    expected = F.silu(expected) if activation else expected
    assert torch.allclose(causal_conv1d(x, weight, bias, activation), expected, atol=1e-6)


def test_sees_no_later_token():
    x = torch.randn(1, 2, 8, requires_grad=True)
    causal_conv1d(x, torch.randn(2, 4))[:, :, 3].sum().backward()
    assert x.grad[:, :, :4].abs().min() > 0
    assert not x.grad[:, :, 4:].any()


def test_one_token_meets_the_last_column():
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert causal_conv1d(torch.tensor([[[5.0]]]), weight).item() == 20.0


class OnGPU(torch.Tensor):
    """A tensor that says so, for the choice alone."""

    is_cuda = True


@pytest.fixture
def package_calls(monkeypatch):
    calls = []

    def causal_conv1d_fn(x, weight, bias=None, seq_idx=None, initial_states=None, return_final_states=False,
                         final_states_out=None, activation=None):
        calls.append((x, weight, bias, activation))
        return torch.full_like(x, 7.0)

    monkeypatch.setitem(sys.modules, 'causal_conv1d_cuda', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'causal_conv1d', SimpleNamespace(causal_conv1d_fn=causal_conv1d_fn))
    MODULE._package.cache_clear()
    yield calls
    MODULE._package.cache_clear()


@pytest.mark.parametrize('width', [2, 3, 4])
def test_package_serves_gpu_tensors(package_calls, width):
    x, weight, bias = torch.randn(2, 5, 3).mT.as_subclass(OnGPU), torch.randn(3, width), torch.randn(3)
    assert causal_conv1d(x, weight, bias, 'silu').unique().tolist() == [7.0]
    (given, *others), = package_calls
    assert given.is_contiguous()
    assert torch.equal(given, x)
    assert others == [weight, bias, 'silu']


@pytest.mark.parametrize('change', [
    dict(weight=torch.ones(3, 5)), dict(weight=torch.ones(3, 1)), dict(x=torch.ones(2, 3, 0)),
    dict(x=torch.ones(2, 3, 5).double(), weight=torch.ones(3, 4).double(), bias=torch.ones(3).double())])
def test_what_the_package_cannot_do_is_done_without_it(package_calls, change):
    x, weight, bias = ({**dict(x=torch.ones(2, 3, 5), weight=torch.ones(3, 4), bias=torch.ones(3)), **change}[name]
                       for name in ('x', 'weight', 'bias'))
    out = causal_conv1d(x.as_subclass(OnGPU), weight, bias)
    assert torch.equal(out, causal_conv1d(x, weight, bias))
    assert package_calls == []


@pytest.mark.parametrize('installed', [True, False])
def test_one_graph_on_a_gpu(package_calls, monkeypatch, installed):
    if not installed:
        monkeypatch.setitem(sys.modules, 'causal_conv1d_cuda', None)
    x, weight = torch.ones(1, 3, 5), torch.ones(3, 4)
    monkeypatch.setattr(MODULE, '_fits_package', lambda *_: True)
    compiled = torch.compile(lambda x: causal_conv1d(x, weight), fullgraph=True, backend='eager')
    assert compiled(x)[0, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 4.0]
    assert package_calls == []


def test_parameters_of_another_dtype_are_left_to_autocast(package_calls):
    """As under autocast, where the parameters stay in float32."""
    x, weight, bias = torch.ones(1, 3, 5).bfloat16(), torch.ones(3, 4).bfloat16(), torch.ones(3)
    with torch.autocast('cpu', torch.bfloat16):
        assert causal_conv1d(x.as_subclass(OnGPU), weight, bias)[0, 0].tolist() == [2.0, 3.0, 4.0, 5.0, 5.0]
    assert package_calls == []


class Broken:
    def __getattr__(self, name):
        raise RuntimeError('built for another torch')


@pytest.mark.parametrize(('name', 'module'), [
    ('causal_conv1d_cuda', None), ('causal_conv1d', None), ('causal_conv1d', Broken)])
def test_without_a_usable_package(package_calls, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, name, module and module())
    x, weight = torch.ones(1, 1, 3), torch.ones(1, 2)
    assert causal_conv1d(x.as_subclass(OnGPU), weight).flatten().tolist() == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(x=torch.ones(2, 3)), r'^x of causal_conv1d must have shape \(B, C, L\), but got \(2, 3\)$'),
    (dict(weight=torch.ones(2, 4)), r'^weight of causal_conv1d must have shape \(3, W\), but got \(2, 4\)$'),
    (dict(bias=torch.ones(2)), r'^bias of causal_conv1d must have shape \(3,\), but got \(2,\)$'),
    (dict(activation='relu'), r"must be None or 'silu', but got 'relu'$")])
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        causal_conv1d(**{**dict(x=torch.ones(1, 3, 5), weight=torch.ones(3, 4)), **arguments})
