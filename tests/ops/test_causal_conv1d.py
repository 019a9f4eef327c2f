import pytest
import torch
import torch.nn.functional as F

from mmavs.ops import causal_conv1d


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


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(x=torch.ones(2, 3)), r'^x of causal_conv1d must have shape \(B, C, L\), but got \(2, 3\)$'),
    (dict(weight=torch.ones(2, 4)), r'^weight of causal_conv1d must have shape \(3, W\), but got \(2, 4\)$'),
    (dict(bias=torch.ones(2)), r'^bias of causal_conv1d must have shape \(3,\), but got \(2,\)$'),
    (dict(activation='relu'), r"must be None or 'silu', but got 'relu'$")])
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        causal_conv1d(**{**dict(x=torch.ones(1, 3, 5), weight=torch.ones(3, 4)), **arguments})
