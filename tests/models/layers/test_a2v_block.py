"""Audio-to-vision fusion against the slow reference, in float64."""

import torch

from mmavs.models.layers.a2v_block import A2VBlock

from .slow_reference import a2v
from .test_visual_scan_block import count, randomise


def make_inputs(num_frames, size=(3, 4)):
    level = torch.randn(num_frames, *size, 16, dtype=torch.float64)
    return level, torch.randn(num_frames, 1, 16, dtype=torch.float64)


def test_parameter_count():
    assert count(A2VBlock(256)) == 701_952


def test_equals_reference():
    torch.manual_seed(0)
    block = randomise(A2VBlock(16, d_state=3, drop_path_rate=0.))
    level, audio = make_inputs(5)
    result = block(level.flatten(1, 2), audio, (3, 4), [5])
    torch.testing.assert_close(result, a2v(level, audio[:, 0], block).flatten(1, 2), rtol=0, atol=1e-12)


def test_clips_of_several_lengths_equal_reference():
    torch.manual_seed(1)
    block = randomise(A2VBlock(16, d_state=2, drop_path_rate=0.))
    level, audio = make_inputs(6)
    result = block(level.flatten(1, 2), audio, (3, 4), [1, 3, 2])
    for clip in (slice(0, 1), slice(1, 4), slice(4, 6)):
        expected = a2v(level[clip], audio[clip, 0], block).flatten(1, 2)
        torch.testing.assert_close(result[clip], expected, rtol=0, atol=1e-12)


def test_gradients_equal_reference():
    torch.manual_seed(2)
    block = randomise(A2VBlock(16, d_state=2, drop_path_rate=0.))
    level, audio = make_inputs(3, size=(2, 3))
    level.requires_grad_(), audio.requires_grad_()
    weights = torch.randn(3, 6, 16, dtype=torch.float64)
    wanted = [level, audio, *block.parameters()]
    fast = torch.autograd.grad((block(level.flatten(1, 2), audio, (2, 3), [3]) * weights).sum(), wanted)
    slow = torch.autograd.grad((a2v(level, audio[:, 0], block).flatten(1, 2) * weights).sum(), wanted)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_every_pixel_hears_every_frame_of_its_clip_only():
    torch.manual_seed(3)
    block = randomise(A2VBlock(16, d_state=2, drop_path_rate=0.))
    level, audio = make_inputs(3)
    visual = level.flatten(1, 2)
    audio.requires_grad_()
    gradient, = torch.autograd.grad(block(visual, audio, (3, 4), [2, 1])[0, 7].sum(), audio)
    heard = gradient.abs().sum((1, 2))
    assert heard[0] > 0
    assert heard[1] > 0
    assert heard[2] == 0


def test_drop_path_is_drawn_for_each_frame():
    torch.manual_seed(4)
    block = randomise(A2VBlock(16, d_state=2, drop_path_rate=0.5))
    level, audio = make_inputs(40, size=(1, 1))
    visual = level.flatten(1, 2)
    kept = (block(visual, audio, (1, 1), [40]) != visual).any(-1).sum().item()
    assert 8 < kept < 32
