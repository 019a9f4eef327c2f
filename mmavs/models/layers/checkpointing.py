"""Activation checkpointing, one switch for all blocks."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def run_block(block: Callable[..., Any], *args: Any, with_cp: bool) -> Any:
    """Call a block, in training optionally without keeping its activations (they are computed again in backward).

    Args:
        block: Module or function; random draws inside it repeat in the second computation.
        args: Its positional arguments.
        with_cp: Trade time for memory. Has no effect where no gradient is recorded.

    Returns:
        What the block returns.
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False)
    return block(*args)
