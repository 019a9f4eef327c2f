"""Weights of a checkpoint that need not be all those of the model."""

import logging
import re
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from torch import Tensor, nn

from mmavs.utils.weight_fit import WeightFit, compare_weights


def renamed(weights: Mapping[str, Tensor], revise_keys: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Replace regular expressions in the names of weights.

    Args:
        weights: Name -> tensor.
        revise_keys: (pattern, replacement) pairs, applied one after the other.
    """
    for pattern, replacement in revise_keys:
        weights = {re.sub(pattern, replacement, name): value for name, value in weights.items()}
    return dict(weights)


def load_fitting(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights whose names and shapes are the model's; the others keep their values."""
    fitting = compare_weights(model.state_dict(), weights).fitting
    model.load_state_dict({name: weights[name] for name in fitting}, strict=False)


def report_misfit(fit: WeightFit, filename: str) -> None:
    """Say in one warning what of a model :func:`load_fitting` leaves as it is.

    Args:
        fit: The comparison.
        filename: The checkpoint.

    Raises:
        ValueError: If nothing would be loaded.
    """
    if not fit.fitting:
        raise ValueError(f'{filename} does not fit the model at all: {fit.problems}; check load_from, or set it to '
                         'None to start from random weights.')
    if not fit.complete:
        total = len(fit.fitting) + len(fit.missing) + len(fit.reshaped)
        print_log(f'{len(fit.fitting)} of the {total} weights of the model were loaded from {filename}: '
                  f'{fit.problems}. The others keep their initial values.', 'current', logging.WARNING)
