"""Dice loss of the binary tasks.

Letters: N frames, H and W the size of the labels.
"""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from mmavs.registry import MODELS
from mmavs.utils.arguments import check_number


def mean_over_ranks(count: Tensor) -> Tensor:
    """Mean of a count over the processes of a distributed run; the count itself in a single process.

    Dividing each process's sum by this mean, and averaging the gradients over the processes as DDP does, gives the mean
    over the whole global batch, however unevenly the labels are spread over the processes.

    Args:
        count: Float tensor without gradient. Shape ().

    Returns:
        Shape ().
    """
    if get_world_size() > 1:
        count = count.clone()
        all_reduce(count, op='mean')
    return count


@MODELS.register_module()
class AVSDiceLoss(nn.Module):
    """Dice loss with squared terms, for each frame (V-Net, Milletari et al. 2016, "Dice loss layer", as 1 - D).

    ``1 - 2 sum(p g) / (sum(p^2) + sum(g^2) + 2 eps)`` with ``p = sigmoid(logit)``, averaged over the frames with a
    label: those with at least one pixel that is not ignored. In a distributed run the mean is taken over the labelled
    frames of all processes. Without any labelled frame the loss is zero and gives zero gradients.

    Args:
        eps: Keeps the fraction finite. A frame without sounding pixels costs 1 whatever is predicted. Default: 1e-3.
        loss_weight: Factor. Default: 1.0.
        loss_name: Key in the loss dict; must start with ``loss_`` to be trained. Default: 'loss_dice'.

    Raises:
        ValueError: If ``eps`` or ``loss_weight`` is no number of at least 0.
    """

    def __init__(self, eps: float = 1e-3, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__()
        check_number('eps of AVSDiceLoss', eps, 0)
        check_number('loss_weight of AVSDiceLoss', loss_weight, 0)
        self.eps, self.loss_weight = eps, loss_weight
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Key in the loss dict."""
        return self._loss_name

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255) -> Tensor:
        """Compute the loss.

        Args:
            logits: Shape (N, 1, H, W).
            target: 0 and 1, or shares of sounding in [0, 1]; ``ignore_index`` where there is no label.
                Shape (N, H, W).
            weight: Factor for each pixel's terms. Shape (N, H, W). Default: None.
            ignore_index: Value of pixels that do not count. Default: 255.

        Returns:
            Shape ().

        Raises:
            ValueError: If there is not one channel or the sizes differ.
        """
        if logits.shape[1] != 1 or logits[:, 0].shape != target.shape:
            raise ValueError(f'AVSDiceLoss needs logits (N, 1, H, W) and a target (N, H, W), '
                             f'but got {tuple(logits.shape)} and {tuple(target.shape)}')
        valid = target != ignore_index
        labelled = valid.flatten(1).any(dim=1)
        pixel_weight = valid.to(torch.promote_types(logits.dtype, torch.float32))
        if weight is not None:
            pixel_weight = pixel_weight * weight
        prob = logits[:, 0].to(pixel_weight.dtype).sigmoid()
        mask = target.to(pixel_weight.dtype).masked_fill(~valid, 0)
        overlap = (prob * mask * pixel_weight).flatten(1).sum(1)
        total = ((prob.square() + mask.square()) * pixel_weight).flatten(1).sum(1)
        frame_loss = 1 - 2 * overlap / (total + 2 * self.eps)
        count = mean_over_ranks(labelled.sum().to(frame_loss.dtype))
        count = torch.where(count > 0, count, torch.ones_like(count))
        return self.loss_weight * (frame_loss * labelled).sum() / count
