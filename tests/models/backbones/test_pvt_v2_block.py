"""Each part against the same computed in the plainest way."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmavs.models.backbones.pvt_v2_block import (
    ConvFeedForward,
    DepthwiseConv,
    OverlapPatchEmbed,
    PVTv2Block,
    SpatialReductionAttention,
)

SIZE = (6, 4)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def tokens(channels: int = 8) -> torch.Tensor:
    return torch.randn(2, SIZE[0] * SIZE[1], channels, dtype=torch.float64)


def as_map(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).reshape(len(x), -1, *SIZE)


def test_patches_overlap_and_are_normalised():
    embed = OverlapPatchEmbed(3, 8, kernel_size=7, stride=4).double()
    image = torch.randn(2, 3, 21, 16, dtype=torch.float64)
    found, size = embed(image)
    assert size == (6, 4)
    # Patch (2, 1) looks at rows 5..11 and columns 1..7 of the picture.
    patch = image[1, :, 5:12, 1:8]
    expected = (embed.proj.weight * patch).sum((1, 2, 3)) + embed.proj.bias
    expected = F.layer_norm(expected, (8, ), embed.norm.weight, embed.norm.bias, 1e-5)
    assert torch.allclose(found[1, 2 * 4 + 1], expected)


@pytest.mark.parametrize('sr_ratio', [1, 2])
@pytest.mark.parametrize('num_heads', [1, 4])
def test_attention_head_by_head(num_heads, sr_ratio):
    block = SpatialReductionAttention(8, num_heads, sr_ratio).double()
    x = tokens()
    reduced = x
    if sr_ratio > 1:
        reduced = block.norm(block.sr(as_map(x)).flatten(2).transpose(1, 2))
        assert reduced.shape == (2, 3 * 2, 8)
    query, (key, value) = block.q(x), block.kv(reduced).split(8, dim=-1)
    width = 8 // num_heads
    heads = []
    for h in range(num_heads):
        part = slice(h * width, (h + 1) * width)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(width)).softmax(-1)
        heads.append(weights @ value[..., part])
    assert torch.allclose(block(x, SIZE), block.proj(torch.cat(heads, dim=-1)))


def test_only_a_reduction_has_a_convolution():
    names = {name for name, _ in SpatialReductionAttention(8, 2, 1).named_parameters()}
    assert not any(name.startswith(('sr', 'norm')) for name in names)
    assert SpatialReductionAttention(8, 2, 4).sr.kernel_size == (4, 4)


def test_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match='num_heads=3 does not divide embed_dims=8'):
        SpatialReductionAttention(8, 3, 1)


def test_the_depthwise_convolution_sees_a_channel_and_its_neighbours():
    conv = DepthwiseConv(8).double()
    x = tokens()
    padded = F.pad(as_map(x), (1, 1, 1, 1))
    # Token (2, 3), channel 5.
    expected = (conv.dwconv.weight[5, 0] * padded[1, 5, 2:5, 3:6]).sum() + conv.dwconv.bias[5]
    assert torch.allclose(conv(x, SIZE)[1, 2 * SIZE[1] + 3, 5], expected)


def test_feed_forward_with_the_exact_gelu():
    block = ConvFeedForward(8, 16).double()
    x = tokens()
    hidden = block.dwconv(block.fc1(x), SIZE)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    assert torch.allclose(block(x, SIZE), block.fc2(gelu))
    assert (block.fc1.out_features, block.fc2.out_features) == (16, 8)


def test_a_block_adds_both_branches():
    block = PVTv2Block(8, num_heads=2, mlp_ratio=4, sr_ratio=2, drop_path=0.5).double().eval()
    assert {module.eps for module in (block.norm1, block.norm2)} == {1e-6}
    x = tokens()
    middle = x + block.attn(block.norm1(x), SIZE)
    assert torch.allclose(block(x, SIZE), middle + block.mlp(block.norm2(middle), SIZE))
    assert block.mlp.fc1.out_features == 32


def test_a_dropped_branch_leaves_the_frame_as_it_is():
    block = PVTv2Block(8, num_heads=2, mlp_ratio=4, sr_ratio=1, drop_path=0.5).double().train()
    x = tokens().repeat(64, 1, 1)
    same = (block(x, SIZE) == x).flatten(1).all(1)
    # Both branches drop in a quarter of the frames.
    assert 15 <= same.sum() <= 50


def test_gradients_reach_every_parameter():
    block = PVTv2Block(8, num_heads=2, mlp_ratio=4, sr_ratio=2, drop_path=0.0).double()
    block(tokens(), SIZE).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for name, parameter in
               block.named_parameters() if not name.endswith('kv.bias'))
    assert isinstance(block.attn.sr, nn.Conv2d)
