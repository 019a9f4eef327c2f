"""VSS and Temporal Mamba against the slow reference, in float64."""

import pytest
import torch

from mmavs.models.layers.token_maps import join_levels
from mmavs.models.layers.visual_scan_block import TemporalMambaBlock, VSSBlock

from .slow_reference import temporal_mamba, vss

SIZES = ((4, 3), (2, 2))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def make_levels(num_frames, channels=16, sizes=SIZES):
    return [torch.randn(num_frames, h, w, channels, dtype=torch.float64) for h, w in sizes]


def to_tokens(levels):
    return join_levels([level.permute(0, 3, 1, 2) for level in levels])


def randomise(block):
    # Ones, zeros and equal rows would hide an exchange of weights.
    for parameter in block.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return block.double()


def test_parameter_counts():
    assert count(VSSBlock(256)) == 567_296
    assert count(TemporalMambaBlock(256)) == 735_232
    # Each pair of orders has a projection, step sizes, A and D of its own.
    assert count(TemporalMambaBlock(256, num_orders=12)) == 735_232 + 4 * 41_984
    assert count(TemporalMambaBlock(256, temporal_kernel=3)) == 735_232 + 2 * 9 * 512


def test_vss_equals_reference():
    torch.manual_seed(0)
    block, levels = randomise(VSSBlock(16, d_state=3)), make_levels(2)
    tokens, sizes = to_tokens(levels)
    expected, _ = to_tokens(vss(levels, block))
    torch.testing.assert_close(block(tokens, sizes), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('num_orders', [2, 4, 6, 8, 10, 12])
def test_temporal_mamba_equals_reference(num_orders):
    torch.manual_seed(num_orders)
    block, levels = randomise(TemporalMambaBlock(16, num_orders=num_orders, d_state=2)), make_levels(3)
    tokens, sizes = to_tokens(levels)
    expected, _ = to_tokens(temporal_mamba(levels, block, num_orders))
    torch.testing.assert_close(block(tokens, sizes, [3]), expected, rtol=0, atol=1e-12)


def test_temporal_kernel_3_equals_reference():
    torch.manual_seed(1)
    block, levels = randomise(TemporalMambaBlock(16, num_orders=4, temporal_kernel=3, d_state=2)), make_levels(3)
    tokens, sizes = to_tokens(levels)
    expected, _ = to_tokens(temporal_mamba(levels, block, 4))
    torch.testing.assert_close(block(tokens, sizes, [3]), expected, rtol=0, atol=1e-12)


def test_clips_of_several_lengths_equal_reference():
    torch.manual_seed(2)
    block, levels = randomise(TemporalMambaBlock(16, temporal_kernel=3, d_state=2)), make_levels(6)
    tokens, sizes = to_tokens(levels)
    result = block(tokens, sizes, [2, 1, 2, 1])
    start = 0
    for length in (2, 1, 2, 1):
        clip = [level[start:start + length] for level in levels]
        expected, _ = to_tokens(temporal_mamba(clip, block, 8))
        torch.testing.assert_close(result[start:start + length], expected, rtol=0, atol=1e-12)
        start += length


def test_gradients_equal_reference():
    torch.manual_seed(3)
    block, levels = randomise(TemporalMambaBlock(16, num_orders=4, d_state=2)), make_levels(2, sizes=((3, 2), (2, 1)))
    tokens, sizes = to_tokens(levels)
    weights = torch.randn_like(tokens)
    parameters = list(block.parameters())
    fast = torch.autograd.grad((block(tokens, sizes, [2]) * weights).sum(), parameters)
    slow = torch.autograd.grad((to_tokens(temporal_mamba(levels, block, 4))[0] * weights).sum(), parameters)
    for (name, _), a, b in zip(block.named_parameters(), fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f'{name}: {text}')


def test_vss_frames_do_not_mix_and_temporal_mamba_frames_do():
    torch.manual_seed(4)
    levels = make_levels(2)
    tokens, sizes = to_tokens(levels)
    changed = tokens.clone()
    changed[1, 5] += 1
    vss_block, temporal = randomise(VSSBlock(16, d_state=2)), randomise(TemporalMambaBlock(16, d_state=2))
    assert torch.equal(vss_block(tokens, sizes)[0], vss_block(changed, sizes)[0])
    assert (temporal(tokens, sizes, [2])[0] - temporal(changed, sizes, [2])[0]).abs().max() > 1e-6
    assert torch.equal(temporal(tokens, sizes)[0], temporal(changed, sizes)[0])


@pytest.mark.parametrize('num_orders', [0, 3, 14])
def test_impossible_number_of_orders(num_orders):
    with pytest.raises(ValueError, match='num_orders'):
        TemporalMambaBlock(16, num_orders=num_orders)


def test_autocast_keeps_the_scan_in_float32():
    torch.manual_seed(5)
    block = VSSBlock(32)
    tokens = torch.randn(2, 16, 32)
    with torch.autocast('cpu', torch.bfloat16):
        x = torch.randn(2, 16, 64, dtype=torch.bfloat16)
        index = torch.stack([torch.arange(16)] * 4).int()
        assert block.scan(x, index).dtype == torch.float32
        low = block(tokens, ((4, 4),))
    assert low.dtype == torch.bfloat16
    full = block(tokens, ((4, 4),))
    assert (low.float() - full).abs().max() < 0.03 * full.abs().max()
