"""States of the random number generators of one process, in types that a checkpoint may hold."""

import random

import numpy as np
import torch


def capture_rng() -> dict:
    """States of python's, numpy's, torch's and, where CUDA is in use, the current device's generator.

    Returns:
        A dict of integers, lists and tensors only, so that ``torch.load(weights_only=True)`` accepts it.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = dict(python=[version, torch.tensor(words, dtype=torch.int64), gauss],
                 numpy=[name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
                 torch=torch.get_rng_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def restore_rng(state: dict) -> None:
    """Put the generators into a state that :func:`capture_rng` returned."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
