"""Arrays of numbers as text, exact and small, for result files."""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Make what JSON can hold of arrays.

    Args:
        arrays: Numbers, stored as float64.

    Returns:
        For each array its ``shape`` and its ``data``: little-endian float64, zlib, base64.
    """
    return {name: dict(shape=list(array.shape),
                       data=base64.b64encode(zlib.compress(np.ascontiguousarray(array, '<f8').tobytes())).decode())
            for name, array in arrays.items()}


def unpack_arrays(packed: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Undo :func:`pack_arrays`; nothing in a file can make it run code or take more memory than ``shape`` says.

    Raises:
        ValueError: If an entry is not of that form, or its data do not fill its shape.
    """
    arrays = {}
    for name, entry in packed.items():
        try:
            shape = tuple(int(length) for length in entry['shape'])
            size = 8 * math.prod(shape)
            data = zlib.decompressobj().decompress(base64.b64decode(entry['data'], validate=True), size + 1)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise ValueError(f'{name!r} is no packed array: {error}') from error
        if len(data) != size:
            raise ValueError(f'{name!r} is no packed array: shape {list(shape)} needs {size} bytes.')
        arrays[name] = np.frombuffer(data, '<f8').astype(np.float64).reshape(shape)
    return arrays
