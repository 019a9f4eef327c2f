import pytest
import torch

from mmavs.models.layers.clip_grouping import check_clip_lengths, map_clips


def reverse_time(clips):
    return clips.flip(1)


def test_lengths_are_filled_in_and_checked():
    assert check_clip_lengths(None, 3) == [1, 1, 1]
    assert check_clip_lengths(torch.tensor([2, 1]), 3) == [2, 1]


@pytest.mark.parametrize('lengths', [[2, 2], [3, 0], [4, -1], []])
def test_wrong_lengths_name_themselves(lengths):
    with pytest.raises(ValueError, match=r'clip_lengths must be positive and sum to the 3 frames.*got \['):
        check_clip_lengths(lengths, 3)


def test_mixed_lengths_come_back_in_order():
    frames = torch.arange(8.).unsqueeze(1)
    result = map_clips(reverse_time, frames, clip_lengths=[3, 1, 3, 1])
    assert result[:, 0].tolist() == [2, 1, 0, 3, 6, 5, 4, 7]


def test_clips_of_one_length_are_one_call_without_a_copy():
    frames, seen = torch.arange(12.).view(6, 2), []

    def remember(clips):
        seen.append(clips)
        return clips

    result = map_clips(remember, frames, clip_lengths=[3, 3])
    assert [tuple(clips.shape) for clips in seen] == [(2, 3, 2)]
    assert seen[0].data_ptr() == frames.data_ptr() == result.data_ptr()


def test_each_length_is_one_call():
    shapes = []
    map_clips(lambda clips: shapes.append(tuple(clips.shape)) or clips, torch.zeros(11, 4),
              clip_lengths=[2, 5, 2, 2])
    assert sorted(shapes) == [(1, 5, 4), (3, 2, 4)]


def test_several_inputs_stay_together():
    first, second = torch.randn(6, 2), torch.randn(6, 2)
    result = map_clips(lambda a, b: a.flip(1) * b, first, second, clip_lengths=[2, 3, 1])
    expected = torch.cat([a.flip(0) * b for a, b in zip(first.split([2, 3, 1]), second.split([2, 3, 1]), strict=True)])
    assert torch.equal(result, expected)


def test_gradients_go_to_the_right_frames():
    frames = torch.zeros(4, 1, requires_grad=True)
    map_clips(reverse_time, frames, clip_lengths=[3, 1]).backward(torch.tensor([[1.], [2.], [3.], [4.]]))
    assert frames.grad[:, 0].tolist() == [3, 2, 1, 4]
