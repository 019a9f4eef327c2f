"""Vision-to-audio fusion against the slow reference, in float64."""

import pytest
import torch

from mmavs.models.layers.v2a_block import V2ABlock

from .slow_reference import v2a
from .test_visual_scan_block import count, randomise


def make_inputs(num_frames, size=(3, 4), num_queries=1):
    level = torch.randn(num_frames, *size, 16, dtype=torch.float64)
    return torch.randn(num_frames, num_queries, 16, dtype=torch.float64), level


@pytest.mark.parametrize('temporal', [False, True])
def test_parameter_count(temporal):
    assert count(V2ABlock(256, temporal)) == 701_952


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
