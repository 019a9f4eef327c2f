import pytest
import torch

from mmavs.evaluation.metrics.eval_size import check_eval_size, resize_scores, resize_target


def test_sizes():
    assert check_eval_size(None, 'nearest') is None
    assert check_eval_size(512, 'bilinear_soft') == (512, 512)
    assert check_eval_size([3, 4], 'nearest') == (3, 4)


def test_scores_come_from_resized_logits():
    logits = torch.tensor([[[-4.0, 4.0]]])
    scores = resize_scores(torch.zeros(1, 5, 9), logits, (1, 4))
    # Bilinear, pixel centres: -4, -2, 2, 4; resizing probabilities would give 0.26 and 0.74 in the middle.
    assert scores.flatten().tolist() == pytest.approx(torch.tensor([-4.0, -2.0, 2.0, 4.0]).sigmoid().tolist(), abs=1e-6)


def test_scores_of_the_right_size_are_left_alone():
    scores = torch.rand(2, 6, 7)
    assert resize_scores(scores, None, (6, 7)) is scores


def test_scores_of_another_size_need_logits():
    with pytest.raises(ValueError, match=r'eval_size=\(11, 13\) needs the logits .* has only pred_scores of \(6, 7\)'):
        resize_scores(torch.rand(2, 6, 7), None, (11, 13))


def test_nearest_keeps_labels():
    target = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    # Source column floor(i * 3 / 5), as cv2.INTER_NEAREST.
    resized = resize_target(target, (1, 5), 'nearest')
    assert resized.dtype == torch.uint8
    assert resized.flatten().tolist() == [0, 0, 1, 1, 255]
    assert resize_target(torch.tensor([[[0, 1, 0, 1, 1]]]), (1, 2), 'nearest').flatten().tolist() == [0, 0]


def test_soft_masks_are_not_thresholded():
    resized = resize_target(torch.tensor([[[0, 1]]], dtype=torch.uint8), (1, 4), 'bilinear_soft')
    assert resized.flatten().tolist() == [0, 0.25, 0.75, 1]
