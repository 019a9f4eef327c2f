"""Scoring at another size than the ground truth's."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from mmavs.evaluation.functional import IGNORE

GT_INTERPOLATIONS = ('nearest', 'bilinear_soft')


def check_eval_size(eval_size: int | Sequence[int] | None, gt_interp: str) -> tuple[int, int] | None:
    """Make ``(height, width)`` of a metric's ``eval_size``.

    Raises:
        ValueError: If the size is not positive, ``gt_interp`` is unknown, or ``'bilinear_soft'`` is asked for without a
            size, where it would have no effect.
    """
    if gt_interp not in GT_INTERPOLATIONS:
        raise ValueError(f'gt_interp must be one of {", ".join(GT_INTERPOLATIONS)}, got {gt_interp!r}.')
    if eval_size is None:
        if gt_interp != 'nearest':
            raise ValueError(f'gt_interp={gt_interp!r} has no effect without eval_size; set eval_size=512, say.')
        return None
    size = (eval_size, eval_size) if isinstance(eval_size, int) else tuple(eval_size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'eval_size must be a positive integer or (height, width), got {eval_size}.')
    return size


def resize_scores(scores: Tensor, logits: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Scores at ``size``: the sigmoid of the bilinearly resized logits.

    Args:
        scores: Probabilities at the ground truth's size. Shape (T, H, W).
        logits: The network's logits at its own size. Shape (T, h, w). None, only where ``scores`` have the size.
        size: (height, width).

    Returns:
        Shape (T, height, width), float32.

    Raises:
        ValueError: If there are no logits and ``scores`` have another size. They were resized once already, and
            smoothed by it: what a second time makes of them can be 10 points from the score of the logits.
    """
    if logits is None:
        if scores.shape[1:] == size:
            return scores.float()
        raise ValueError(f'eval_size={size} needs the logits of the network in seg_logits, which AVSegmentor writes, '
                         f'but the sample has only pred_scores of {tuple(scores.shape[1:])}.')
    resized = F.interpolate(logits.float()[:, None], size=size, mode='bilinear', align_corners=False)
    return resized[:, 0].sigmoid()


def resize_target(target: Tensor, size: tuple[int, int], gt_interp: str) -> Tensor:
    """Binary masks at ``size``.

    Args:
        target: 0, 1, 255. Shape (T, H, W).
        size: (height, width).
        gt_interp: ``'nearest'`` keeps 0, 1, 255; ``'bilinear_soft'`` gives floating-point masks that are not
            thresholded again, as in the released evaluation of AVS-Mamba.

    Returns:
        Shape (T, height, width).

    Raises:
        ValueError: If ``'bilinear_soft'`` meets pixels without a label.
    """
    if gt_interp == 'nearest':
        return F.interpolate(target.float()[:, None], size=size, mode='nearest')[:, 0].to(target.dtype)
    if (target == IGNORE).any():
        raise ValueError("gt_interp='bilinear_soft' cannot resize a mask in which some pixels have no label (255).")
    soft = F.interpolate(target.double()[:, None], size=size, mode='bilinear', align_corners=False)[:, 0]
    return soft.clamp(0, 1)
