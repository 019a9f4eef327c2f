import torch

from mmavs.models.layers.causal_depthwise_conv import CausalDepthwiseConv1d

from .slow_reference import causal_conv


def test_equals_explicit_sum():
    torch.manual_seed(0)
    conv = CausalDepthwiseConv1d(3).double()
    assert sum(parameter.numel() for parameter in conv.parameters()) == 3 * 4 + 3
    tokens = torch.randn(2, 6, 3, dtype=torch.float64)
    expected = torch.stack([causal_conv(sequence, conv) for sequence in tokens])
    torch.testing.assert_close(conv(tokens), expected, rtol=0, atol=1e-14)


def test_one_token_sees_the_last_weight_only():
    conv = CausalDepthwiseConv1d(2)
    token = torch.randn(1, 1, 2)
    torch.testing.assert_close(conv(token)[0, 0], token[0, 0] * conv.weight[:, 0, 3] + conv.bias)
