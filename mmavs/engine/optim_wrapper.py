"""Mixed-precision training that runs on CPU and GPU alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmavs.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """``OptimWrapper`` whose forward pass runs under ``torch.autocast``, without loss scaling.

    mmengine's ``AmpOptimWrapper`` refuses to start without an accelerator and scales the loss, which bfloat16 does not
    need: it has the exponent range of float32. Weights, gradients, the optimiser and the scan recurrence stay float32.

    Args:
        dtype: ``'bfloat16'`` (default). float16 needs a loss scale: use mmengine's ``AmpOptimWrapper`` for it.
        **kwargs: Those of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: If ``dtype`` is not ``'bfloat16'``.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs) -> None:
        if dtype != 'bfloat16':
            raise ValueError(f"dtype={dtype!r}: AutocastOptimWrapper supports 'bfloat16' only; "
                             'float16 needs loss scaling, use type="AmpOptimWrapper" on a GPU.')
        super().__init__(**kwargs)
        self.dtype = torch.bfloat16

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the enclosed forward pass of ``model`` under autocast on the device of its first parameter."""
        device_type = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device_type, dtype=self.dtype):
            yield
