"""One encoder layer against the slow reference, in float64."""

import pytest
import torch

from mmavs.models.layers.token_maps import join_levels
from mmavs.models.necks.mte_layer import MTELayer

from ..layers.slow_reference import conv_frames, pre_norm, temporal_mamba, vss
from ..layers.test_visual_scan_block import count, make_levels, randomise, to_tokens


def reference(levels, layer, num_orders):
    """One clip through the layer, level by level except in the scans."""
    if layer.with_vss:
        branch = vss([pre_norm(level, layer.norm_vss) for level in levels], layer.vss)
        levels = [a + b for a, b in zip(levels, branch, strict=True)]
    if layer.with_ffn:
        levels = [level + _ffn(pre_norm(level, layer.norm_ffn), layer.ffn) for level in levels]
    if layer.with_temporal:
        branch = temporal_mamba([pre_norm(level, layer.norm_temporal) for level in levels], layer.temporal, num_orders)
        levels = [a + b for a, b in zip(levels, branch, strict=True)]
    return levels


def _ffn(level, ffn):
    hidden = conv_frames(level @ ffn.fc1.weight.T + ffn.fc1.bias, ffn.conv.weight[:, 0], ffn.conv.bias)
    return torch.nn.functional.gelu(hidden) @ ffn.fc2.weight.T + ffn.fc2.bias


def test_parameter_count():
    # 1,840,384 in the released code, with the unused LayerNorm of 512.
    assert count(MTELayer(256)) == 1_840_384 - 512
    assert count(MTELayer(256, with_ffn=False)) == 1_839_872 - 535_808 - 512
    assert count(MTELayer(256, with_vss=False)) == 735_232 + 512
    assert count(MTELayer(256, with_temporal=False)) == 567_296 + 535_808 + 2 * 512


@pytest.mark.parametrize('switches', [{}, dict(with_ffn=False), dict(with_vss=False), dict(with_temporal=False)])
def test_equals_reference(switches):
    torch.manual_seed(0)
    layer = randomise(MTELayer(16, num_orders=4, d_state=2, drop_path_rate=0., **switches))
    levels = make_levels(3)
    tokens, sizes = to_tokens(levels)
    result = layer(tokens, sizes, [2, 1])
    for clip in (slice(0, 2), slice(2, 3)):
        expected, _ = to_tokens(reference([level[clip] for level in levels], layer, 4))
        torch.testing.assert_close(result[clip], expected, rtol=0, atol=1e-12)


def test_drop_path_by_frame_and_by_clip_separately_for_each_level():
    torch.manual_seed(1)
    tokens, sizes = join_levels([torch.randn(60, 16, 1, 1), torch.randn(60, 16, 1, 1)])
    lengths = [2] * 30
    frames = MTELayer(16, d_state=2, drop_path_rate=0.5, with_temporal=False, with_ffn=False)
    changed = (frames(tokens, sizes, lengths) != tokens).any(-1)
    assert 5 < (changed[:, 0] != changed[:, 1]).sum() < 55
    assert (changed[0::2] != changed[1::2]).any()
    frames = MTELayer(16, d_state=2, drop_path_rate=0.5, with_temporal=False)
    torch.nn.init.zeros_(frames.vss.out.proj.weight)  # leaves the branch of MixFFN
    changed = (frames(tokens, sizes, lengths) != tokens).any(-1)
    assert 5 < (changed[:, 0] != changed[:, 1]).sum() < 55
    assert (changed[0::2] != changed[1::2]).any()
    clips = MTELayer(16, d_state=2, drop_path_rate=0.5, with_vss=False)
    changed = (clips(tokens, sizes, lengths) != tokens).any(-1)
    assert torch.equal(changed[0::2], changed[1::2])
    assert 5 < (changed[:, 0] != changed[:, 1]).sum() < 55


def test_empty_layer_names_the_way_out():
    with pytest.raises(ValueError, match='set num_layers=0'):
        MTELayer(16, with_vss=False, with_temporal=False)
