"""The formulas of audio-visual segmentation's metrics, as pure functions of tensors.

Everything is counted per frame and in float64; pooling over clips is the work of ``mmavs.evaluation.metrics``.
Letters: N frames, H and W pixels, C classes, K = 255 thresholds. Values are shares in [0, 1].

Source of the binary formulas: Zhou et al., "Audio-visual segmentation", ECCV 2022, and its public evaluation.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# No label at this pixel; a frame that is 255 everywhere is not counted.
IGNORE = 255
NUM_THRESHOLDS = 255
BETA_SQUARED = 0.3
# The float32 end of the published linspace(0, 1 - 1e-10, 255) is exactly 1.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=torch.float32)


class BinaryCounts(NamedTuple):
    """Sums over the labelled pixels of each frame. Shape (N,), float64, each.

    Attributes:
        hits: Sum of prediction times target.
        predicted: Pixels predicted as sounding.
        positives: Sum of the target.
        pixels: Labelled pixels.
    """

    hits: Tensor
    predicted: Tensor
    positives: Tensor
    pixels: Tensor


class SemanticCounts(NamedTuple):
    """Labelled pixels of each frame and class. Shape (N, C), float64, each.

    Attributes:
        hits: Predicted as the class and of the class.
        predicted: Predicted as the class.
        actual: Of the class.
    """

    hits: Tensor
    predicted: Tensor
    actual: Tensor


def count_binary(scores: Tensor, target: Tensor, threshold: float = 0.5) -> BinaryCounts:
    """Count the pixels behind the Jaccard index.

    Args:
        scores: Probability of sounding, in [0, 1]; half precision is first made float32. Shape (N, H, W).
        target: 0, 1 and 255 (no label), or floating point in [0, 1] (a soft mask). Shape (N, H, W).
        threshold: A pixel is predicted as sounding where its score is **above** it. Default 0.5.

    Raises:
        ValueError: If the shapes differ, a score is not in [0, 1] or a target value is not among the above.
    """
    scores, weights, labelled = _checked(scores, target)
    predicted = ((scores > threshold) & labelled).double()
    return BinaryCounts(hits=(predicted * weights).sum((1, 2)), predicted=predicted.sum((1, 2)),
                        positives=weights.sum((1, 2)), pixels=labelled.sum((1, 2)).double())


def frame_iou(counts: BinaryCounts) -> Tensor:
    """Intersection over union of each frame; on a silent frame (empty target) the share of true negatives.

    ``I / (U + 1e-7)``, ``I = sum(pred g)``, ``U = sum(max(pred, g))``; on a silent frame ``I`` is the number of true
    negatives and ``U`` the number of pixels.

    Returns:
        Shape (N,), float64; 0 for a frame without labels.
    """
    silent = counts.positives == 0
    intersection = torch.where(silent, counts.pixels - counts.predicted, counts.hits)
    union = torch.where(silent, counts.pixels, counts.predicted + counts.positives - counts.hits)
    return intersection / (union + 1e-7)


def jaccard_index(scores: Tensor, target: Tensor, threshold: float = 0.5) -> float:
    """J: the mean of :func:`frame_iou` over all labelled frames.

    Args:
        scores: As for :func:`count_binary`. Shape (N, H, W).
        target: As for :func:`count_binary`. Shape (N, H, W).
        threshold: As for :func:`count_binary`.

    Returns:
        J in [0, 1].

    Raises:
        ValueError: If no frame is labelled. Also those of :func:`count_binary`.
    """
    counts = count_binary(scores, target, threshold)
    labelled = counts.pixels > 0
    if not labelled.any():
        raise ValueError('jaccard_index: no frame of target has a label (all pixels are 255).')
    return frame_iou(counts)[labelled].mean().item()


def count_curves(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Count, for every threshold, what is predicted at ``score >= threshold``.

    One histogram over the intervals between thresholds and its reversed cumulative sum give exactly what 255
    comparisons of the whole map give.

    Args:
        scores: As for :func:`count_binary`. Shape (N, H, W).
        target: As for :func:`count_binary`. Shape (N, H, W).

    Returns:
        Sums of the target over the predicted pixels, and numbers of predicted pixels. Shapes (N, K), float64.

    Raises:
        ValueError: As :func:`count_binary`.
    """
    scores, weights, labelled = _checked(scores, target)
    bins = NUM_THRESHOLDS + 1
    histograms = scores.new_zeros((2, len(scores), bins), dtype=torch.float64)
    # Frame by frame, so that the intermediate maps stay in the processor's cache.
    for index, frame in enumerate(scores):
        cell = thresholds_reached(frame.flatten())
        for histogram, values in zip(histograms, (weights, labelled), strict=True):
            histogram[index] = torch.bincount(cell, weights=values[index].flatten().double(), minlength=bins)
    hits, predicted = (histogram[:, 1:].flip(1).cumsum(1).flip(1) for histogram in histograms)
    return hits, predicted


def thresholds_reached(scores: Tensor) -> Tensor:
    """The number of thresholds at or below each score, as ``torch.bucketize(..., right=True)`` counts them.

    The thresholds are evenly spaced, so a product finds the place, give or take one for rounding, and two comparisons
    settle it: a tenth of the time of a search.

    Args:
        scores: In [0, 1], float32. Any shape.

    Returns:
        Same shape, int64, 1 to K.
    """
    edges = torch.cat([THRESHOLDS, torch.tensor([torch.inf])]).to(scores.device)
    place = (scores * (NUM_THRESHOLDS - 1)).long()
    return place + 1 + (scores >= edges[place + 1]).long() - (scores < edges[place]).long()


def f_curves(hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """F-measure at every threshold: ``1.3 P R / (0.3 P + R)``, 0 where that is undefined.

    Args:
        hits: From :func:`count_curves`. Shape (N, K).
        predicted: From :func:`count_curves`. Shape (N, K).
        positives: Sum of the target. Shape (N,).

    Returns:
        Shape (N, K).
    """
    precision = hits / (predicted + 1e-20)
    recall = hits / (positives[:, None] + 1e-20)
    score = (1 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
    return score.nan_to_num(0.0)


def f_measure(scores: Tensor, target: Tensor) -> float:
    """F of a group of frames: the highest point of the mean curve of its sounding frames.

    Args:
        scores: As for :func:`count_binary`. Shape (N, H, W).
        target: As for :func:`count_binary`. Shape (N, H, W).

    Returns:
        F in [0, 1]; 0 if every frame is silent or without labels.

    Raises:
        ValueError: As :func:`count_binary`.
    """
    hits, predicted = count_curves(scores, target)
    positives = count_binary(scores, target).positives
    sounding = positives > 0
    if not sounding.any():
        return 0.0
    return f_curves(hits[sounding], predicted[sounding], positives[sounding]).mean(0).max().item()


def count_semantic(prediction: Tensor, target: Tensor, num_classes: int) -> SemanticCounts:
    """Count the pixels of every class.

    Args:
        prediction: Class of every pixel. Integers, shape (N, H, W).
        target: True class, or 255 where there is no label. Integers, shape (N, H, W).
        num_classes: C.

    Raises:
        ValueError: If the shapes differ or a class is not in 0..C-1.
    """
    if prediction.shape != target.shape or target.dim() != 3:
        raise ValueError(f'prediction and target must both have shape (N, H, W), got {tuple(prediction.shape)} and '
                         f'{tuple(target.shape)}.')
    prediction, target = prediction.long(), target.long()
    labelled = target != IGNORE
    for name, values in (('prediction', prediction), ('target', target[labelled])):
        if values.numel() and (values.min() < 0 or values.max() >= num_classes):
            found = values.max().item() if values.max() >= num_classes else values.min().item()
            raise ValueError(f'{name} holds class {found}, but num_classes={num_classes} allows 0 to '
                             f'{num_classes - 1}.')
    offset = num_classes * torch.arange(len(target), device=target.device)[:, None, None]

    def histogram(classes: Tensor, mask: Tensor) -> Tensor:
        cells = torch.bincount((classes + offset)[mask], minlength=num_classes * len(target))
        return cells.view(len(target), num_classes).double()

    return SemanticCounts(hits=histogram(target, labelled & (prediction == target)),
                          predicted=histogram(prediction, labelled), actual=histogram(target, labelled))


def semantic_scores(counts: SemanticCounts) -> tuple[Tensor, Tensor, Tensor]:
    """IoU and F of every frame and class, and whether the class counts in the frame.

    ``IoU = I / (U + 2.2e-16)``; F with beta^2 = 0.3 at the predicted class, 0 if undefined; a class counts in a frame
    iff its union is not empty.

    Returns:
        IoU, F (float64) and present (bool). Shapes (N, C).
    """
    epsilon = 2.2e-16
    union = counts.predicted + counts.actual - counts.hits
    precision = counts.hits / (counts.predicted + epsilon)
    recall = counts.hits / (counts.actual + epsilon)
    score = (1 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
    return counts.hits / (union + epsilon), score.nan_to_num(0.0), union > 0


def _checked(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores in float32, the target in float64 (0 without label), and where there is a label."""
    if scores.shape != target.shape or target.dim() != 3:
        raise ValueError(f'scores and target must both have shape (N, H, W), got {tuple(scores.shape)} and '
                         f'{tuple(target.shape)}.')
    scores = scores.float()
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError('scores must be probabilities in [0, 1], but some are outside or NaN; pass sigmoid(logits).')
    if target.is_floating_point():
        labelled = torch.ones_like(target, dtype=torch.bool)
        good = (target >= 0) & (target <= 1)
    else:
        labelled = target != IGNORE
        good = (target == 0) | (target == 1) | ~labelled
    if not good.all():
        raise ValueError(f'target holds the value {target[~good].flatten()[0].item()}; a binary mask has 0, 1 and 255 '
                         '(no label).')
    return scores, target.double() * labelled, labelled
