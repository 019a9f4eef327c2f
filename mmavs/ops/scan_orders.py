"""Tables of scan orders: which token a scan visits at each of its steps.

Letters: K scan orders, L tokens, T frames, S visual tokens of a frame (all levels together), A audio tokens.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

ORDER_NAMES = ('THW', 'TWH', 'HWT', 'WHT', 'HTW', 'WTH')


def temporal_orders(num_orders: int) -> tuple[str, ...]:
    """Names of the orders that a Temporal Mamba with ``num_orders`` scans uses (paper, table VII).

    Each name is traversed forward and reversed, so there are ``num_orders / 2`` of them.

    Args:
        num_orders: 2, 4, 6, 8, 10 or 12; the paper's default is 8.

    Returns:
        The first ``num_orders / 2`` of ``('THW', 'TWH', 'HWT', 'WHT', 'HTW', 'WTH')``.

    Raises:
        ValueError: If ``num_orders`` is another number.
    """
    if num_orders not in (2, 4, 6, 8, 10, 12):
        raise ValueError(f'num_orders must be one of 2, 4, 6, 8, 10, 12, but got {num_orders}')
    return ORDER_NAMES[:num_orders // 2]


def scan_index(orders: Sequence[str], levels: Sequence[tuple[int, int]], num_frames: int = 1,
               audio: str | None = None, audio_length: int = 0, layout: str = 'interleaved',
               reverse_audio: bool = True, device: torch.device | str | None = None) -> Tensor:
    """Table of the natural position of the token that each order visits at each step.

    Natural layout of the visual tokens: frame by frame, in a frame level by level, in a level row by row
    (``position = t * S + level offset + h * W + w``). Within an order the levels follow each other: order THW visits
    every (t, h, w) of level 0, then of level 1. A name such as 'HWT' is read from the outermost to the fastest axis.

    Args:
        orders: Names, each a permutation of 'THW'. For two-dimensional scans of single frames take ``num_frames=1``
            with 'THW' (row by row) and 'TWH' (column by column).
        levels: (H, W) of each level.
        num_frames: T. Default: 1.
        audio: None: no audio tokens; 'last': natural positions T*S...T*S+A-1, visited after the visual tokens by every
            order; 'first': natural positions 0...A-1 (visual tokens start at A), visited before.
        audio_length: A; 0 without audio.
        layout: 'interleaved' [o1, o1 reversed, o2, o2 reversed, ...] or 'grouped' [o1, o2, ..., o1 reversed,
            o2 reversed, ...].
        reverse_audio: A reversed order visits the audio tokens in reversed order too. They stay on their side.
        device: Where the table is wanted. Default: CPU.

    Returns:
        int32. Shape (K, L) with K = 2 * len(orders) and L = T * S + A. It is cached and shared: do not write to it.

    Raises:
        ValueError: If an argument is none of the above.
    """
    orders, levels = tuple(orders), tuple((int(h), int(w)) for h, w in levels)
    _check(orders, levels, num_frames, audio, audio_length, layout)
    arguments = (orders, levels, int(num_frames), audio, int(audio_length), layout, bool(reverse_audio),
                 torch.device('cpu' if device is None else device))
    # A tensor made while a graph is traced belongs to that graph and must not be kept.
    build = _build if torch.compiler.is_compiling() else _cached_build
    return build(*arguments)


def _check(orders: tuple[str, ...], levels: tuple[tuple[int, int], ...], num_frames: int, audio: str | None,
           audio_length: int, layout: str) -> None:
    if not orders or any(name not in ORDER_NAMES for name in orders):
        raise ValueError(f'orders must be names out of {ORDER_NAMES}, but got {orders}')
    if not levels or min(min(level) for level in levels) < 1:
        raise ValueError(f'levels must be (H, W) pairs of positive numbers, but got {levels}')
    if num_frames < 1:
        raise ValueError(f'num_frames must be at least 1, but got {num_frames}')
    if audio not in (None, 'first', 'last'):
        raise ValueError(f"audio must be None, 'first' or 'last', but got {audio!r}")
    if (audio is None) != (not audio_length) or audio_length < 0:
        raise ValueError(f'audio_length must be positive with audio tokens and 0 without, but got audio_length='
                         f'{audio_length} with audio={audio!r}')
    if layout not in ('interleaved', 'grouped'):
        raise ValueError(f"layout must be 'interleaved' or 'grouped', but got {layout!r}")


def _build(orders: tuple[str, ...], levels: tuple[tuple[int, int], ...], num_frames: int, audio: str | None,
           audio_length: int, layout: str, reverse_audio: bool, device: torch.device) -> Tensor:
    frame_tokens = sum(h * w for h, w in levels)
    first_visual = audio_length if audio == 'first' else 0
    frames = torch.arange(num_frames, dtype=torch.int32)[:, None] * frame_tokens + first_visual
    grids, offset = [], 0
    for height, width in levels:
        cells = torch.arange(offset, offset + height * width, dtype=torch.int32)
        grids.append((frames + cells).view(num_frames, height, width))
        offset += height * width
    forward = [torch.cat([grid.permute(['THW'.index(axis) for axis in name]).reshape(-1) for grid in grids])
               for name in orders]
    backward = [visual.flip(0) for visual in forward]

    tokens = torch.arange(audio_length, dtype=torch.int32)
    if audio == 'last':
        tokens = tokens + num_frames * frame_tokens
    tokens_backward = tokens.flip(0) if reverse_audio else tokens
    if audio == 'first':
        forward = [torch.cat([tokens, visual]) for visual in forward]
        backward = [torch.cat([tokens_backward, visual]) for visual in backward]
    elif audio == 'last':
        forward = [torch.cat([visual, tokens]) for visual in forward]
        backward = [torch.cat([visual, tokens_backward]) for visual in backward]

    if layout == 'grouped':
        rows = forward + backward
    else:
        rows = [row for pair in zip(forward, backward, strict=True) for row in pair]
    return torch.stack(rows).to(device)


@lru_cache(maxsize=256)
def _cached_build(*arguments: object) -> Tensor:
    # An inference tensor could not be saved for a later backward pass.
    with torch.inference_mode(False):
        return _build(*arguments)
