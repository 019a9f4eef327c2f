"""Loading the weights of a whole model, all of them or none."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmavs.utils.safe_load import load_checkpoint_file


def load_weights(model: nn.Module, path: str | Path, trust: bool = False) -> None:
    """Load a checkpoint into a model; ``model.dataset_meta`` becomes that of the checkpoint.

    Args:
        model: Receives the weights, in place.
        path: A local file.
        trust: Open it as an ordinary pickle, which can run code. Default False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights or not exactly those of the model, or cannot be opened safely.
    """
    content = load_checkpoint_file(path, trust=trust)
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} holds no weights.')
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    misfits = sorted(name for name in expected.keys() & state.keys() if expected[name].shape != state[name].shape)
    for names, problem in ((missing, 'lacks'), (unknown, 'has unknown'), (misfits, 'has another shape of')):
        if names:
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            raise ValueError(f'{path} does not fit the model: it {problem} {names[0]}{more}; check that it was trained '
                             'with this config.')
    model.load_state_dict(state)
    meta = content.get('meta')
    if isinstance(meta, Mapping) and isinstance(meta.get('dataset_meta'), Mapping):
        model.dataset_meta = dict(meta['dataset_meta'])


def check_device(device: str | None) -> None:
    """Check that torch can use a device.

    Raises:
        ValueError: If it cannot; the message says what to pass instead.
    """
    if device is None:
        return
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise ValueError(f'device={device!r} cannot be used here ({str(error).splitlines()[0].rstrip(".")}); pass '
                         "device='cpu'.") from None
