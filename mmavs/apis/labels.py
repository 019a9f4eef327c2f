"""Names and colours of what a model predicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from mmavs.structures import AVSS_CLASSES
from mmavs.visualization import as_palette


@dataclass(frozen=True)
class Labels:
    """Classes of a model.

    Attributes:
        classes: Names; index 0 is the background.
        palette: RGB colours. Shape (len(classes), 3), uint8.
        threshold: Binary models: a pixel sounds where its probability is above this.
    """

    classes: Sequence[str]
    palette: np.ndarray
    threshold: float = 0.5

    @property
    def num_classes(self) -> int:
        """Number of classes, background included: 2 for binary models."""
        return len(self.classes)

    @classmethod
    def of_model(cls, model: nn.Module) -> 'Labels':
        """Read them from the checkpoint's ``dataset_meta``, else from the number of output channels.

        Binary models always have the classes background and sounding, and one colour.
        """
        head = getattr(model, 'decode_head', None)
        channels = getattr(head, 'num_classes', 1) or 1
        meta = getattr(model, 'dataset_meta', None) or {}
        if channels <= 2:
            threshold = getattr(head, 'threshold', None)
            return cls(('background', 'sounding'), as_palette(None, 2), 0.5 if threshold is None else float(threshold))
        names, colours = list(meta.get('classes') or ()), meta.get('palette')
        if len(names) != channels:
            names = list(AVSS_CLASSES)
        if len(names) != channels:
            names = ['background', *(f'class {index}' for index in range(1, channels))]
        if colours is None or len(colours) != channels:
            colours = None
        return cls(tuple(names), as_palette(colours, channels))
