import math

import pytest
import torch
from mmengine.evaluator import Evaluator

from mmavs.evaluation import FalsePositiveMetric

from .samples import evaluate


def clips() -> list[dict]:
    """Two clips of 10 x 10 pixels: masks of 20 pixels, predictions of 0, 30 and 10; one frame has no label."""
    target = torch.zeros(2, 10, 10, dtype=torch.uint8)
    target[:, :2] = 1
    prediction = torch.zeros(2, 10, 10, dtype=torch.uint8)
    prediction[1, 1:4] = 7     # 10 pixels inside, 20 outside; any class is positive
    unlabelled = torch.cat([target[:1], torch.full((1, 10, 10), 255, dtype=torch.uint8)])
    marked = torch.ones(2, 10, 10, dtype=torch.uint8)
    marked[0, 1:] = 0          # 10 pixels inside; the frame without a label is marked all over
    return [dict(video_id='a', target=target, prediction=prediction),
            dict(video_id='b', target=unlabelled, prediction=marked)]


def test_own_sound_counts_what_is_outside_of_the_masks():
    scores = evaluate(FalsePositiveMetric(), clips())
    assert scores == pytest.approx({'fp/area': 20 / 3, 'fp/clean': 200 / 3, 'fp/predicted': 40 / 3})


def test_foreign_sound_counts_all_that_is_marked():
    scores = evaluate(FalsePositiveMetric(truth='empty'), clips())
    assert scores == pytest.approx({'fp/area': 40 / 3, 'fp/clean': 100 / 3, 'fp/predicted': 40 / 3})


def test_batch_size_and_order_do_not_matter():
    assert evaluate(FalsePositiveMetric(), clips()[::-1], batch_size=2) == pytest.approx(
        evaluate(FalsePositiveMetric(), clips()))


def test_without_labels_nothing_is_defined():
    scores = evaluate(FalsePositiveMetric(), [dict(clips()[0], target=torch.full((2, 10, 10), 255))])
    assert all(math.isnan(value) for value in scores.values())


def test_bad_input():
    with pytest.raises(ValueError, match='truth must be one of masks, empty'):
        FalsePositiveMetric(truth='none')
    with pytest.raises(ValueError, match=r'clip a: pred_sem_seg has shape \(2, 5, 5\), but gt_sem_seg \(2, 10, 10\)'):
        evaluate(FalsePositiveMetric(), [dict(clips()[0], prediction=torch.zeros(2, 5, 5))])


def test_registered():
    evaluator = Evaluator([dict(type='mmavs.FalsePositiveMetric', truth='empty')])
    assert evaluator.metrics[0].truth == 'empty'
