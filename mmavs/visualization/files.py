"""Reading frames and writing pictures and masks, safely beside other processes."""

import os
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmavs.visualization.colours import as_palette


def read_frames(paths: Sequence[str | Path]) -> list[np.ndarray]:
    """Read the frames of a clip.

    Args:
        paths: Picture files, one per frame.

    Returns:
        RGB pictures of shape (H, W, 3), uint8.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        ValueError: If a file is not a picture that OpenCV reads.
    """
    frames = []
    for path in paths:
        if not Path(path).is_file():
            raise FileNotFoundError(f'frame {path} does not exist.')
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f'{path} is not a picture that OpenCV can read.')
        frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return frames


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture; readers and other writers of the same path never see half a file.

    Args:
        path: Target; the suffix gives the format (.png, .jpg). Its folder is made when missing.
        picture: Shape (H, W, 3), uint8, RGB.

    Raises:
        ValueError: If the suffix is no picture format.
    """
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise ValueError(f'{path} must end in .png or .jpg.')
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f'{path}: a picture of shape {picture.shape} cannot be encoded.')
    write_bytes(path, data.tobytes())


def write_masks(folder: Path, masks: np.ndarray, num_classes: int, palette: Sequence | None = None) -> None:
    """Write the masks of a clip as ``folder/0.png, 1.png, ...``.

    Two classes are written as grey 0/255, more as palette pictures whose pixels are the class indices.

    Args:
        folder: Made when missing.
        masks: Class indices. Shape (T, H, W).
        num_classes: Number of classes, background included.
        palette: RGB colour of each class. Default: AVSBench's colours.
    """
    for index, mask in enumerate(np.asarray(masks).astype(np.uint8)):
        if num_classes <= 2:
            image = Image.fromarray((mask > 0).astype(np.uint8) * 255)
        else:
            image = Image.frombytes('P', mask.shape[::-1], mask.tobytes())
            image.putpalette(as_palette(palette, num_classes).reshape(-1).tolist())
        buffer = BytesIO()
        image.save(buffer, 'PNG')
        write_bytes(folder / f'{index}.png', buffer.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step: to a temporary neighbour that then takes the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix='.', suffix=path.suffix, dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
