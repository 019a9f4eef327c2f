import numpy as np
import pytest
import torch

from mmavs.evaluation import f_measure, jaccard_index
from mmavs.evaluation.functional import (
    THRESHOLDS,
    count_binary,
    count_curves,
    count_semantic,
    f_curves,
    frame_iou,
    semantic_scores,
    thresholds_reached,
)

from . import slow_reference as slow


def random_frames(seed=0, frames=4, size=(13, 11), quantised=False):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(frames, *size, generator=generator)
    if quantised:
        # Exactly on thresholds, and one step of float32 to either side.
        picks = THRESHOLDS[torch.randint(255, (frames, *size), generator=generator)]
        step = torch.randint(-1, 2, (frames, *size), generator=generator)
        up, down = torch.nextafter(picks, torch.tensor(2.0)), torch.nextafter(picks, torch.tensor(-2.0))
        scores = torch.where(step == 0, picks, torch.where(step > 0, up, down)).clamp(0, 1)
    target = (torch.rand(frames, *size, generator=generator) < 0.3).to(torch.uint8)
    return scores, target


@pytest.mark.parametrize('quantised', [False, True], ids=['random', 'ties'])
def test_curves_equal_255_comparisons(quantised):
    scores, target = random_frames(quantised=quantised)
    hits, predicted = count_curves(scores, target)
    assert hits.shape == predicted.shape == (4, 255)
    for k, threshold in enumerate(THRESHOLDS):
        above = scores >= threshold
        assert torch.equal(predicted[:, k], above.sum((1, 2)).double()), k
        assert torch.equal(hits[:, k], (above & (target == 1)).sum((1, 2)).double()), k


def test_thresholds_end_at_exactly_one():
    assert THRESHOLDS.dtype == torch.float32
    assert len(THRESHOLDS) == 255
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[-1] == 1
    assert (THRESHOLDS.diff() > 0).all()


def test_thresholds_reached_are_those_of_a_search():
    """On every threshold, up to 40 steps of float32 around it, and anywhere."""
    near = [THRESHOLDS]
    for end in (2.0, -2.0):
        step = THRESHOLDS
        for _ in range(40):
            step = torch.nextafter(step, torch.tensor(end))
            near.append(step)
    scores = torch.cat([*near, torch.rand(100_000), torch.tensor([0.0, 1.0, 5e-324])]).clamp(0, 1)
    expected = torch.bucketize(scores, THRESHOLDS, right=True)
    assert torch.equal(thresholds_reached(scores), expected)
    assert (expected.min(), expected.max()) == (1, 255)


@pytest.mark.parametrize('quantised', [False, True])
@pytest.mark.parametrize('seed', [0, 1])
def test_j_and_f_match_the_slow_reference(seed, quantised):
    scores, target = random_frames(seed, quantised=quantised)
    frames = list(zip(scores, target, strict=True))
    assert jaccard_index(scores, target) == pytest.approx(np.mean([slow.iou_of_frame(*f) for f in frames]), abs=1e-12)
    assert f_measure(scores, target) == pytest.approx(slow.f_of_frames(frames), abs=1e-12)


def test_hand_made_values():
    target = torch.tensor([[[1, 1], [0, 0]]])
    scores = torch.tensor([[[0.9, 0.2], [0.6, 0.1]]])
    assert jaccard_index(scores, target) == pytest.approx(1 / 3, abs=1e-7)
    # Best at a threshold between 0.6 and 0.9: P = 1, R = 1/2. (Between 0.1 and 0.2, P = 2/3 and R = 1 give 0.722.)
    assert f_measure(scores, target) == pytest.approx(1.3 * 0.5 / (0.3 + 0.5), abs=1e-12)


def test_the_half_is_not_above_the_half():
    target = torch.ones(1, 2, 2)
    assert jaccard_index(torch.full((1, 2, 2), 0.5), target) == 0
    assert jaccard_index(torch.full((1, 2, 2), np.nextafter(np.float32(0.5), np.float32(1)).item()),
                         target) == pytest.approx(1, abs=1e-7)


def test_scores_count_in_single_precision():
    """A float64 score that float32 rounds to 0.5 or to a threshold is at it, as in predictions stored in float32."""
    scores = torch.full((1, 1, 1), 0.5, dtype=torch.float64) + 1e-12
    assert count_binary(scores, torch.ones(1, 1, 1)).predicted.tolist() == [0]
    scores = THRESHOLDS[100].double().reshape(1, 1, 1) - 1e-12
    assert count_curves(scores, torch.ones(1, 1, 1))[1].sum() == 101


def test_silent_frames():
    target = torch.zeros(2, 10, 10, dtype=torch.uint8)
    scores = torch.zeros(2, 10, 10)
    scores[0, :2, :3] = 0.8
    assert frame_iou(count_binary(scores, target)).tolist() == pytest.approx([0.94, 1.0], abs=1e-8)
    assert jaccard_index(scores, target) == pytest.approx(0.97, abs=1e-8)
    assert f_measure(scores, target) == 0
    target[1, 0, 0] = 1
    scores[1, 0, 0] = 1
    assert f_measure(scores, target) == pytest.approx(1.0), 'the silent frame is left out of the mean curve'


def test_empty_and_full_predictions():
    target = random_frames()[1]
    assert jaccard_index(torch.zeros(target.shape), target) == 0
    # At threshold 0 everything is predicted, whatever the scores are.
    share = target.double().mean((1, 2))
    expected = (1.3 * share / (0.3 * share + 1)).mean().item()
    assert f_measure(torch.zeros(target.shape), target) == pytest.approx(expected, abs=1e-12)
    assert f_measure(torch.ones(target.shape), target) == pytest.approx(expected, abs=1e-12)
    assert f_measure(target.float(), target) == pytest.approx(1.0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_huge_and_half_precision_logits(dtype):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 8, 8, generator=generator)
    logits[0, 0] = 1e4
    logits[1, 1] = -1e4
    scores = logits.to(dtype).sigmoid()
    target = random_frames(5, frames=3, size=(8, 8))[1]
    frames = list(zip(scores, target, strict=True))
    assert jaccard_index(scores, target) == pytest.approx(np.mean([slow.iou_of_frame(*f) for f in frames]), abs=1e-12)
    assert f_measure(scores, target) == pytest.approx(slow.f_of_frames(frames), abs=1e-12)


def test_soft_targets():
    scores, hard = random_frames(7)
    soft = torch.rand(hard.shape, dtype=torch.float64) * hard
    soft[0] = 0
    frames = list(zip(scores, soft, strict=True))
    assert jaccard_index(scores, soft) == pytest.approx(np.mean([slow.iou_of_frame(*f) for f in frames]), abs=1e-12)
    assert f_measure(scores, soft) == pytest.approx(slow.f_of_frames(frames), abs=1e-12)


def test_pixels_without_label_do_not_count():
    scores, target = random_frames(8)
    cut = target.clone()
    cut[:, :, 5:] = 255
    assert jaccard_index(scores, cut) == pytest.approx(jaccard_index(scores[:, :, :5], target[:, :, :5]), abs=1e-12)
    assert f_measure(scores, cut) == pytest.approx(f_measure(scores[:, :, :5], target[:, :, :5]), abs=1e-12)
    cut[0] = 255
    assert jaccard_index(scores, cut) == pytest.approx(jaccard_index(scores[1:, :, :5], target[1:, :, :5]), abs=1e-12)
    assert f_measure(scores, cut) == pytest.approx(f_measure(scores[1:, :, :5], target[1:, :, :5]), abs=1e-12)


def test_f_curve_where_nothing_is_hit():
    curves = f_curves(torch.zeros(1, 3), torch.tensor([[5.0, 1.0, 0.0]]), torch.tensor([4.0]))
    assert curves.tolist() == [[0, 0, 0]]


def test_semantic_counts_and_scores():
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 5, (3, 7, 9), generator=generator)
    prediction = torch.randint(0, 5, (3, 7, 9), generator=generator)
    target[0, :3] = 255
    counts = count_semantic(prediction, target, num_classes=6)
    iou, score, present = semantic_scores(counts)
    for n in range(3):
        valid = target[n] != 255
        for c in range(6):
            p, t = (prediction[n] == c) & valid, (target[n] == c) & valid
            hit, union = (p & t).sum().item(), (p | t).sum().item()
            assert counts.hits[n, c] == hit
            assert counts.predicted[n, c] == p.sum()
            assert counts.actual[n, c] == t.sum()
            assert present[n, c].item() == (union > 0)
            if union:
                precision, recall = hit / max(p.sum().item(), 1), hit / max(t.sum().item(), 1)
                expected = 1.3 * precision * recall / (0.3 * precision + recall) if hit else 0
                assert iou[n, c].item() == pytest.approx(hit / union, abs=1e-12)
                assert score[n, c].item() == pytest.approx(expected, abs=1e-12)


def with_one(value, dtype=torch.float32):
    """Zeros, and in one pixel this value."""
    values = torch.zeros(1, 4, 4, dtype=dtype)
    values[0, 1, 2] = value
    return values


@pytest.mark.parametrize(('scores', 'target', 'message'), [
    (torch.zeros(1, 4, 4), torch.zeros(1, 4, 5), r'must both have shape \(N, H, W\), got \(1, 4, 4\) and \(1, 4, 5\)'),
    (torch.zeros(4, 4), torch.zeros(4, 4), r'must both have shape \(N, H, W\)'),
    (with_one(1.5), torch.zeros(1, 4, 4), r'probabilities in \[0, 1\].*pass sigmoid\(logits\)'),
    (with_one(float('nan')), torch.zeros(1, 4, 4), r'probabilities in \[0, 1\], but some are.* NaN'),
    (torch.zeros(1, 4, 4), with_one(7, torch.uint8), r'target holds the value 7; a binary mask has 0, 1 and 255'),
    (torch.zeros(1, 4, 4), with_one(1.25), r'target holds the value 1\.25'),
])
def test_bad_binary_input(scores, target, message):
    with pytest.raises(ValueError, match=message):
        jaccard_index(scores, target)
    with pytest.raises(ValueError, match=message):
        f_measure(scores, target)


def test_nothing_labelled():
    with pytest.raises(ValueError, match='no frame of target has a label'):
        jaccard_index(torch.zeros(2, 3, 3), torch.full((2, 3, 3), 255))


def test_bad_classes():
    classes = torch.tensor([[[0, 3]]])
    with pytest.raises(ValueError, match='target holds class 3, but num_classes=3 allows 0 to 2'):
        count_semantic(torch.zeros_like(classes), classes, 3)
    with pytest.raises(ValueError, match='prediction holds class -1'):
        count_semantic(torch.full_like(classes, -1), classes, 5)
    with pytest.raises(ValueError, match=r'must both have shape'):
        count_semantic(classes, classes[:, :, :1], 5)
