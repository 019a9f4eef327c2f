"""Exact evaluation of a ReLU network of one scalar by its linear pieces.

Letters: P pixels, H hidden channels, D output channels, S1 and S2 pieces of the first and second hidden layer that
occur among the pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def piecewise_mlp(values: Tensor, fc1: nn.Linear, fc2: nn.Linear, fc3: nn.Linear,
                  max_pieces: int | None = None) -> Tensor | None:
    """Evaluate ``fc3(relu(fc2(relu(fc1(m)))))`` for many scalars m.

    Between two neighbouring kinks of the first layer (``-b / w``) every input of the second layer is affine in m;
    between the zeros of those, so is the whole network. Each piece that holds a pixel is evaluated once, at a point
    inside it: value and slope, by the chain rule with the activation pattern of that point. A pixel then reads
    ``value + (m - point) * slope``. Points and patterns carry no gradient; they are constant inside a piece, so the
    gradients for m and for all weights are those of the plain network (up to rounding, away from the kinks themselves).

    The pieces depend on the weights alone, so a pixel's result does not depend on the other pixels. The work is done in
    at least float32, also under autocast.

    Args:
        values: m. Shape (P,).
        fc1: Linear 1 -> H.
        fc2: Linear H -> H.
        fc3: Linear H -> D.
        max_pieces: Give up if more pieces of the first layer occur than this. Default: no limit.

    Returns:
        Shape (P, D), or None if it gave up.
    """
    with torch.autocast(values.device.type, enabled=False):
        dtype = torch.promote_types(fc1.weight.dtype, torch.float32)
        m = values.to(dtype)
        w1, b1, w2, b2, w3, b3 = (x.to(dtype) for fc in (fc1, fc2, fc3) for x in (fc.weight, fc.bias))
        w1 = w1[:, 0]

        kinks1 = _first_layer_kinks(w1, b1)
        pieces1, parent_of_pixel = torch.searchsorted(kinks1, m.detach()).unique(return_inverse=True)
        if max_pieces is not None and len(pieces1) > max_pieces:
            return None
        points1 = _points_inside(kinks1, pieces1)[:, None]
        # Inputs of the second layer at each point, and their slopes. (S1, H)
        active1 = (points1 * w1.detach() + b1.detach() > 0).to(dtype)
        value2 = F.linear((points1 * w1 + b1) * active1, w2, b2)
        slope2 = F.linear(w1 * active1, w2)

        kinks2 = torch.cat([kinks1, _second_layer_kinks(kinks1, pieces1, points1, value2, slope2)]).sort().values
        pieces2, piece_of_pixel = torch.searchsorted(kinks2, m.detach()).unique(return_inverse=True)
        points2 = _points_inside(kinks2, pieces2)[:, None]
        # All pixels of a piece have the same parent, so it does not matter which of them writes.
        parent = torch.empty_like(pieces2).scatter_(0, piece_of_pixel, parent_of_pixel)
        # Not value2[parent]: on CPU its backward pass adds in an order that changes from run to run.
        value2, slope2 = F.embedding(parent, value2), F.embedding(parent, slope2)  # (S2, H)
        value2 = value2 + (points2 - points1[parent]) * slope2
        active2 = (value2.detach() > 0).to(dtype)
        value3 = F.linear(value2 * active2, w3, b3)  # (S2, D)
        slope3 = F.linear(slope2 * active2, w3)
        return _read_pieces(value3, slope3, piece_of_pixel, m - points2[piece_of_pixel, 0])


@torch.no_grad()
def _first_layer_kinks(weight: Tensor, bias: Tensor) -> Tensor:
    """Where the units of the first layer switch, sorted. Shape (up to H,)."""
    kinks = -bias / weight
    return kinks[kinks.isfinite()].sort().values


def _points_inside(kinks: Tensor, pieces: Tensor) -> Tensor:
    """A point inside each piece; piece i lies between ``kinks[i - 1]`` and ``kinks[i]``, the outer ones have no end."""
    if len(kinks) == 0:
        return torch.zeros_like(pieces, dtype=kinks.dtype)
    bounds = torch.cat([kinks[:1] - 2, kinks, kinks[-1:] + 2])
    return (bounds[pieces] + bounds[pieces + 1]) / 2


@torch.no_grad()
def _second_layer_kinks(kinks: Tensor, pieces: Tensor, points: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Zeros of the second layer's inputs, given as value and slope of shape (S1, H), inside their pieces."""
    infinity = kinks.new_tensor([float('inf')])
    bounds = torch.cat([-infinity, kinks, infinity])
    zeros = points - value / slope
    inside = (zeros > bounds[pieces][:, None]) & (zeros < bounds[pieces + 1][:, None])
    return zeros[inside]


def _read_pieces(value: Tensor, slope: Tensor, piece: Tensor, shift: Tensor) -> Tensor:
    """``value[piece] + shift * slope[piece]`` for each pixel. Shape (P, D)."""
    return F.embedding(piece, value) + shift[:, None] * F.embedding(piece, slope)
