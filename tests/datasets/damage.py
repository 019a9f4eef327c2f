"""Ways to break one file of a clip. Each takes the file's path and leaves something else in its place."""

import io
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from mmavs.datasets import AVSBenchDataset

RATE = 16000


class Touch:
    """Unpickling an instance creates a file: what a hostile pickle does, made visible."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.open, (str(self.target), os.O_CREAT)


def remove(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name('gone'))


def hold(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])


def overwrite(start: int, content: bytes) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[start:start + len(content)] = content
        path.write_bytes(data)

    return harm


def picture(mode: str, size: tuple[int, int], colour: Any = 0, form: str = 'PNG') -> Callable[[Path], None]:
    """``size`` is (width, height)."""
    return lambda path: Image.new(mode, size, colour).save(path, format=form)


def paint(row: int, column: int, value: Any) -> Callable[[Path], None]:
    """Changes one pixel of a picture."""

    def harm(path: Path) -> None:
        pixels = np.array(Image.open(path))
        pixels[row, column] = value
        Image.fromarray(pixels).save(path)

    return harm


def lossy(path: Path) -> None:
    """Saves a picture as a JPEG under its old name."""
    Image.open(path).convert('L').save(path, format='JPEG', quality=90)


def photo(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def greys(*values: int) -> Callable[[Path], None]:
    """A mask of mode L of 64x64 pixels: all of the first value, but one pixel of each of the others."""

    def harm(path: Path) -> None:
        pixels = np.full((64, 64), values[0], dtype=np.uint8)
        pixels[0, 1:len(values)] = values[1:]
        Image.fromarray(pixels).save(path)

    return harm


def sound(samples: np.ndarray, rate: int = RATE, subtype: str = 'PCM_16', form: str = 'WAV') -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=form, subtype=subtype)
        path.write_bytes(file.getvalue())

    return harm


def tone(seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    """440 Hz and a quieter 2 kHz, shape (n,)."""
    time = np.arange(int(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 2000 * time)


def with_one(value: float) -> np.ndarray:
    samples = tone().astype(np.float32)
    samples[1234] = value
    return samples


def sample_rate(rate: int) -> Callable[[Path], None]:
    """Writes another rate into the header of a WAV file; the samples stay."""
    return overwrite(24, struct.pack('<I', rate))


def pickled(content: Any) -> Callable[[Path], None]:
    return hold(pickle.dumps(content))


def saved(content: Any, zipped: bool = True) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path, _use_new_zipfile_serialization=zipped)


def log_mel(examples: int = 5, value: float = -1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full((examples, 1, 96, 64), value).to(dtype)


def hostile(save: Callable[[Any], Callable[[Path], None]], wrap: Callable[[Any], Any] = lambda touch: touch
            ) -> Callable[[Path], None]:
    """A pickle that creates the file ``pwned`` beside itself when it is opened carelessly."""
    return lambda path: save(wrap(Touch(path.with_name('pwned'))))(path)


# Name: (subset, which file of the clip, what happens to it, what the message says).
DAMAGES = {
    'frame missing': ('s4', 'frame', remove, 'does not exist'),
    'frame of no bytes': ('s4', 'frame', hold(b''), r'is empty \(0 bytes\)'),
    'frame cut to half': ('s4', 'frame', cut(0.5), r'is damaged or no picture \(\d+ bytes\)'),
    'frame cut to its first bytes': ('ms3', 'frame', cut(0.001), 'is damaged or no picture'),
    'jpeg cut to half': ('avss', 'frame', cut(0.5), 'is damaged or no picture'),
    'frame that is a web page': ('ms3', 'frame', hold(b'<html>404</html>'), 'is damaged or no picture'),
    'frame with a wrong checksum': ('s4', 'frame', overwrite(29, b'0000'), 'is damaged or no picture'),
    'frame that promises 4 billion rows': ('s4', 'frame', overwrite(20, b'\xff' * 4), 'is damaged or no picture'),
    'frame of another size': ('ms3', 'frame', picture('RGB', (64, 60)), 'is 64x60 pixels, the first .* is 64x64'),
    'frame of 16 bits': ('s4', 'frame', picture('I;16', (64, 64)), "has the pixel format 'I;16'"),
    'frame that is a folder': ('ms3', 'frame', become_a_folder, 'cannot be read: Is a directory'),
    'frame that links to itself': ('avss', 'frame', loop, 'cannot be read: Too many levels of symbolic links'),
    'frame that links to nothing': ('ms3', 'frame', dangle, 'does not exist'),
    'fewer frames than the table promises': ('avss', 'last frame', remove, 'does not exist'),
    'mask missing': ('s4', 'mask', remove, 'does not exist'),
    'fewer masks than frames': ('avss', 'last mask', remove, 'does not exist'),
    'mask of no bytes': ('ms3', 'mask', hold(b''), r'is empty \(0 bytes\)'),
    'mask cut to half': ('ms3', 'mask', cut(0.5), 'is damaged or no picture'),
    'mask of another size': ('s4', 'mask', picture('L', (32, 32)), "is 32x32 pixels, its frame 64x64.*size_mismatch"),
    'mask turned on its side': ('avss', 'mask', picture('L', (64, 85)), 'is 64x85 pixels, its frame 85x64'),
    'mask of floats': ('ms3', 'mask', picture('F', (64, 64), form='TIFF'), "has the pixel format 'F'"),
    'mask that links to itself': ('s4', 'mask', loop, 'cannot be read: Too many levels'),
    'mask of 0 and 100': ('ms3', 'mask', greys(0, 100), r'holds the values 100 beside 0; a binary mask holds 0 and 1'),
    'mask of class indices in a binary set': ('s4', 'mask', greys(0, 2), 'holds the values 2 beside 0'),
    'mask of both conventions': ('ms3', 'mask', greys(1, 0, 255), 'holds the values 1, 255 beside 0'),
    'mask of dark red': ('ms3', 'mask', picture('RGB', (64, 64), (64, 0, 0)), r'\(mode RGB\) holds the values 64'),
    'mask that is a photo': ('s4', 'mask', photo, r'holds the values \d+, \d+, \d+ and \d+ more'),
    'mask that is a photo of 256 colours': (
        'ms3', 'mask', lambda path: (photo(path), Image.open(path).quantize(256).save(path)), r'\(mode P\) holds the'),
    'mask after a lossy copy': ('ms3', 'mask', lossy, r"more beside 0; .*other_values='threshold'"),
    'class index out of range': ('avss', 'mask', paint(3, 4, 71), 'holds the class index 71; indices run from 0 to 70'),
    'ignore label in a mask': ('avss', 'mask', paint(3, 4, 255), 'holds the class index 255'),
    'colours in a mask of indices': ('avss', 'mask', picture('RGB', (85, 64), (128, 0, 0)), 'holds colours'),
    'colour outside the palette': ('avss', 'painted mask', paint(3, 4, (1, 2, 3)), r'the colour \(1, 2, 3\) .*1 pixel'),
    'sound missing': ('avss', 'sound', remove, 'does not exist: the clip has no sound'),
    'sound and log-mel missing': ('ms3', 'both sounds', remove, 'do not exist: the clip has no sound'),
    'sound of no bytes': ('ms3', 'sound', hold(b''), r'is empty \(0 bytes\)'),
    'sound without samples': ('ms3', 'sound', sound(np.zeros(0)), 'holds no samples'),
    'sound cut to half': ('s4', 'sound', cut(0.5), r'is cut off: its header promises \d+ bytes more'),
    'sound cut in its header': ('s4', 'sound', hold(b'RIFF\x00\x00\x00\x00WAVEfm'), 'is damaged or no sound'),
    'sound that is a text': ('s4', 'sound', hold(b'no such video'), r'is damaged or no sound \(13 bytes\)'),
    'sound of an unknown codec': ('ms3', 'sound', overwrite(20, b'\x55\x55'), 'is damaged or no sound'),
    'sound of a rate of 0': ('ms3', 'sound', sample_rate(0), r'rate of 0 Hz|is damaged or no sound'),
    'sound of a rate of 2 GHz': ('ms3', 'sound', sample_rate(2**31 - 1), 'has a sample rate of 2147483647 Hz'),
    'sound with NaN': ('ms3', 'sound', sound(with_one(np.nan), subtype='FLOAT'), 'samples that are NaN or infinite'),
    'sound with infinity': ('s4', 'sound', sound(with_one(-np.inf), subtype='FLOAT'), 'NaN or infinite'),
    'int16 values as floats': ('s4', 'sound', sound(32768 * tone(), subtype='DOUBLE'), r'samples up to \d{5};'),
    'sound that links to itself': ('ms3', 'sound', loop, 'cannot be read: Too many levels of symbolic links'),
    'sound that is a folder': ('s4', 'sound', become_a_folder, 'cannot be read: Is a directory'),
    'log-mel of no bytes': ('ms3', 'log-mel', hold(b''), r'is empty \(0 bytes\)'),
    'log-mel cut to half': ('ms3', 'log-mel', cut(0.5), 'was refused: .*expected a pickled tensor'),
    'log-mel of another shape': ('s4', 'log-mel', pickled(torch.zeros(5, 96, 64)), r'of shape \(5, 96, 64\); expected'),
    'log-mel of other bands': ('s4', 'log-mel', pickled(torch.zeros(5, 1, 96, 128)), r'of shape \(5, 1, 96, 128\)'),
    'log-mel of no examples': ('ms3', 'log-mel', pickled(log_mel(0)), r'expected \(t, 1, 96, 64\) with t from 1'),
    'log-mel of a billion views of one value': ('ms3', 'log-mel', saved(torch.zeros(1).expand(10**9, 1, 96, 64)),
                                                'holds a tensor of shape'),
    'log-mel of integers': ('ms3', 'log-mel', pickled(log_mel(dtype=torch.int32)), 'torch.int32'),
    'log-mel with NaN': ('s4', 'log-mel', pickled(log_mel(value=float('nan'))), 'values that are NaN or infinite'),
    'log-mel that is a dict': ('ms3', 'log-mel', pickled({'mel': log_mel()}), 'holds a dict; expected a tensor'),
    'log-mel that is an array': ('ms3', 'log-mel', pickled(np.zeros((5, 1, 96, 64))), 'was refused: it wants to use'),
    'log-mel that is a sparse tensor': ('s4', 'log-mel', saved(log_mel().to_sparse()), 'expected dense|was refused'),
    'hostile pickle': ('ms3', 'log-mel', hostile(pickled), 'was refused: it wants to use posix.open'),
    'hostile pickle in a list': ('s4', 'log-mel', hostile(pickled, lambda touch: [log_mel(), touch]), 'was refused'),
    'hostile torch file': ('ms3', 'log-mel', hostile(saved), 'was refused: it needs more than tensors'),
    'hostile torch file of the old kind': ('ms3', 'log-mel', hostile(lambda x: saved(x, zipped=False)), 'was refused'),
}


def break_clip(root: Path, damage: str) -> tuple[str, Path]:
    """Breaks clip 1 of the test split as a row of the table says; returns its name and the broken file."""
    subset, file, harm, _ = DAMAGES[damage]
    if file == 'painted mask':
        for folder in list(root.rglob('labels_semantic')):
            shutil.rmtree(folder)
    info = AVSBenchDataset(subset=subset, split='test', data_root=str(root)).get_data_info(1)
    if file in ('log-mel', 'both sounds'):
        Path(info['audio_path']).unlink()
    kind, which = file.removeprefix('last ').removeprefix('painted '), -1 if 'last' in file else 2
    path = Path({'frame': info['img_path'][which], 'mask': info['seg_map_path'][which], 'sound': info['audio_path'],
                 'log-mel': info['audio_logmel_path'], 'both sounds': info['audio_logmel_path']}[kind])
    harm(path)
    return info['video_id'], path
