import math

import pytest
import torch

from mmavs.models.layers.mix_ffn import MixFFN

from .slow_reference import conv_frames


def test_parameters_and_start_values():
    torch.manual_seed(0)
    ffn = MixFFN(256)
    # 536,320 in the released code, which holds an unused LayerNorm of 512.
    assert sum(parameter.numel() for parameter in ffn.parameters()) == 536_320 - 512
    assert ffn.fc1.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert ffn.conv.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert all(torch.count_nonzero(layer.bias) == 0 for layer in (ffn.fc1, ffn.conv, ffn.fc2))


def test_equals_explicit_formula():
    torch.manual_seed(1)
    ffn = MixFFN(8, ratio=2).double()
    for parameter in ffn.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    level = torch.randn(2, 3, 4, 8, dtype=torch.float64)
    hidden = conv_frames(level @ ffn.fc1.weight.T + ffn.fc1.bias, ffn.conv.weight[:, 0], ffn.conv.bias)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    expected = hidden @ ffn.fc2.weight.T + ffn.fc2.bias
    torch.testing.assert_close(ffn(level.flatten(1, 2), ((3, 4),)), expected.flatten(1, 2), rtol=0, atol=1e-13)


def test_impossible_ratio():
    with pytest.raises(ValueError, match='ffn_ratio must give at least one hidden channel, but got 0 x 8'):
        MixFFN(8, ratio=0)
