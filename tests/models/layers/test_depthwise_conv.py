import pytest
import torch

from mmavs.models.layers.depthwise_conv import DepthwiseConv2d, DepthwiseConv3d
from mmavs.models.layers.token_maps import join_levels

from .slow_reference import conv_clip, conv_frames

SIZES = ((4, 5), (2, 3))


def make_tokens(num_frames):
    levels = [torch.randn(num_frames, h, w, 8, dtype=torch.float64) for h, w in SIZES]
    return levels, join_levels([level.permute(0, 3, 1, 2) for level in levels])[0]


def flat(levels):
    return torch.cat([level.flatten(1, 2) for level in levels], dim=1)


def test_2d_equals_explicit_sum_on_each_level():
    torch.manual_seed(0)
    conv, (levels, tokens) = DepthwiseConv2d(8).double(), make_tokens(3)
    expected = flat([conv_frames(level, conv.weight[:, 0], conv.bias) for level in levels])
    torch.testing.assert_close(conv(tokens, SIZES), expected, rtol=0, atol=1e-13)


def test_strided_tokens_give_the_same():
    torch.manual_seed(1)
    conv, (_, tokens) = DepthwiseConv2d(8).double(), make_tokens(2)
    wide = torch.cat([tokens, torch.randn_like(tokens)], dim=2)
    torch.testing.assert_close(conv(wide[..., :8], SIZES), conv(tokens, SIZES), rtol=0, atol=1e-14)


def test_3d_kernel_of_one_frame_is_the_2d_convolution():
    torch.manual_seed(2)
    conv, (levels, tokens) = DepthwiseConv3d(8).double(), make_tokens(3)
    assert conv.weight.shape == (8, 1, 1, 3, 3)
    expected = flat([conv_frames(level, conv.weight[:, 0, 0], conv.bias) for level in levels])
    torch.testing.assert_close(conv(tokens, SIZES, [2, 1]), expected, rtol=0, atol=1e-13)


def test_3d_kernel_of_three_frames_stays_inside_its_clip():
    torch.manual_seed(3)
    conv, (levels, tokens) = DepthwiseConv3d(8, temporal_kernel=3).double(), make_tokens(5)
    clips = [[part.contiguous() for part in level.split([2, 3])] for level in levels]
    expected = flat([torch.cat([conv_clip(clip, conv.weight[:, 0], conv.bias) for clip in level]) for level in clips])
    torch.testing.assert_close(conv(tokens, SIZES, [2, 3]), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(('kernel', 'kind'), [
    (0, 'whole number of at least 1'), (2, 'positive odd number'), (-1, 'whole number'), (3.0, 'whole number')])
def test_impossible_temporal_kernel(kernel, kind):
    with pytest.raises(ValueError, match=f'temporal_kernel must be a {kind}.*, but got {kernel}'):
        DepthwiseConv3d(8, temporal_kernel=kernel)
