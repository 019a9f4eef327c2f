"""Vision-to-audio fusion against the slow reference, in float64."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmavs.models.layers import multi_order_scan
from mmavs.models.layers.v2a_block import V2ABlock
from mmavs.ops import cross_selective_scan
from mmavs.ops.flops import scan_flops

from .slow_reference import v2a
from .test_visual_scan_block import count, randomise


def make_inputs(num_frames, size=(3, 4), num_queries=1):
    level = torch.randn(num_frames, *size, 16, dtype=torch.float64)
    return torch.randn(num_frames, num_queries, 16, dtype=torch.float64), level


@pytest.mark.parametrize('temporal', [False, True])
def test_parameter_count(temporal):
    assert count(V2ABlock(256, temporal)) == 701_952


@pytest.mark.parametrize(('temporal', 'frames'), [(False, 1), (True, 5)])
def test_no_output_of_a_visual_token_is_computed(temporal, frames, monkeypatch):
    block, scans = V2ABlock(16, temporal, d_state=3), []
    queries, level = (x.float() for x in make_inputs(5, num_queries=2))
    monkeypatch.setattr(multi_order_scan, 'cross_selective_scan', lambda *tensors, **options: scans.append(
        cross_selective_scan(*tensors, **options)) or scans[-1])
    with FlopCounterMode(display=False) as counter:
        block(queries, level.flatten(1, 2), (3, 4), [5])
    assert [tuple(out.shape) for out in scans] == [(5 // frames, 2 * frames, 32)]
    counted = [count for op, count in counter.get_flop_counts()['Global'].items() if 'cross_scan' in str(op)]
    # B * K * L visits, of which those of the 12 visual tokens of a frame have no output.
    assert counted == [scan_flops(4 * 5 * 14, 32, 3, rank=1, outputs=4 * 5 * 2)]


@pytest.mark.parametrize('num_queries', [1, 2])
@pytest.mark.parametrize('temporal', [False, True])
def test_equals_reference(temporal, num_queries):
    torch.manual_seed(0)
    block = randomise(V2ABlock(16, temporal, d_state=3, drop_path_rate=0.))
    queries, level = make_inputs(5, num_queries=num_queries)
    result = block(queries, level.flatten(1, 2), (3, 4), [5])
    torch.testing.assert_close(result, v2a(queries, level, block), rtol=0, atol=1e-12)


def test_clips_of_several_lengths_equal_reference():
    torch.manual_seed(1)
    block = randomise(V2ABlock(16, temporal=True, d_state=2, drop_path_rate=0.))
    queries, level = make_inputs(6)
    result = block(queries, level.flatten(1, 2), (3, 4), [3, 1, 2])
    for clip in (slice(0, 3), slice(3, 4), slice(4, 6)):
        torch.testing.assert_close(result[clip], v2a(queries[clip], level[clip], block), rtol=0, atol=1e-12)


def test_gradients_equal_reference():
    torch.manual_seed(2)
    block = randomise(V2ABlock(16, temporal=True, d_state=2, drop_path_rate=0.))
    queries, level = make_inputs(3, size=(2, 3))
    queries.requires_grad_(), level.requires_grad_()
    weights = torch.randn(3, 1, 16, dtype=torch.float64)
    wanted = [queries, level, *block.parameters()]
    fast = torch.autograd.grad((block(queries, level.flatten(1, 2), (2, 3), [3]) * weights).sum(), wanted)
    slow = torch.autograd.grad((v2a(queries, level, block) * weights).sum(), wanted)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_frame_level_ignores_other_frames_and_clip_lengths():
    torch.manual_seed(3)
    block = randomise(V2ABlock(16, temporal=False, d_state=2, drop_path_rate=0.))
    queries, level = make_inputs(2)
    visual = level.flatten(1, 2)
    together = block(queries, visual, (3, 4), [2])
    assert torch.equal(together, block(queries, visual, (3, 4)))
    torch.testing.assert_close(together[1:], block(queries[1:], visual[1:], (3, 4)), rtol=0, atol=1e-14)


def test_every_pixel_of_a_clip_reaches_every_query_of_the_temporal_level():
    torch.manual_seed(4)
    block = randomise(V2ABlock(16, temporal=True, d_state=2, drop_path_rate=0.))
    queries, level = make_inputs(2)
    visual = level.flatten(1, 2).requires_grad_()
    for t in (0, 1):
        gradient, = torch.autograd.grad(block(queries, visual, (3, 4), [2])[t].sum(), visual)
        assert (gradient.abs().sum(-1) > 0).all()


def test_drop_path_is_drawn_for_each_frame():
    torch.manual_seed(6)
    block = randomise(V2ABlock(16, temporal=True, d_state=2, drop_path_rate=0.5))
    queries, level = make_inputs(40, size=(1, 1))
    kept = (block(queries, level.flatten(1, 2), (1, 1), [40]) != queries).any(-1).sum().item()
    assert 8 < kept < 32
    block.eval()
    assert (block(queries, level.flatten(1, 2), (1, 1), [40]) != queries).any(-1).all()
