"""Reads sounds and AVSBench's pickled log-mels. Nothing that is read here can run code."""

import collections
import io
import pickle
import struct

import numpy as np
import soundfile
import torch

from mmavs.datasets.errors import DataFileError

from .files import read_bytes
from .log_mel import EXAMPLE_FRAMES, MEL_BANDS

# Headers with rates outside of these are damaged.
_RATES = range(1000, 1_000_001)
# Floats may overshoot 1 a little; int16 values that were written as floats are far above this.
_LOUDEST = 100.0
# Far more seconds than a clip has; a pickle can promise any number in a few bytes.
_MOST_EXAMPLES = 3600
# Streaming writers leave these sizes in a WAV header when they do not know the length.
_UNKNOWN_SIZES = range(0x7FFFF000, 0x100000000)


def decode_sound(content: bytes, path: str, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Samples of a sound file of any rate, number of channels and sample format that libsndfile reads.

    Args:
        content (bytes): The file.
        path (str): Its name, for messages.
        seconds (float, optional): Stop reading after this long. Defaults to None: all of it.

    Returns:
        tuple[np.ndarray, int]: Shape (n, channels), float32, in [-1, 1] (int16 / 32768); and the rate in Hz.

    Raises:
        DataFileError: The sound is damaged, cut off, empty, has a rate outside of 1 kHz to 1 MHz, or values that are
            not finite or, as floats, far outside of [-1, 1].
    """
    missing = _missing_wav_bytes(content)
    if missing:
        raise DataFileError(f'{path} is cut off: its header promises {missing} bytes more than the file has.')
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate = file.samplerate
            if rate not in _RATES:
                raise DataFileError(f'{path} has a sample rate of {rate} Hz; expected {_RATES[0]} to {_RATES[-1]} Hz.')
            frames = -1 if seconds is None else int(seconds * rate)
            samples = file.read(frames, dtype='float32', always_2d=True)
    except DataFileError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError, OSError, MemoryError) as error:
        reason = str(error).removeprefix('Error opening ').split('>: ')[-1].rstrip('.')
        raise DataFileError(f'{path} is damaged or no sound ({len(content)} bytes): {reason}.') from None
    if samples.size == 0:
        raise DataFileError(f'{path} holds no samples.')
    if not np.isfinite(samples).all():
        raise DataFileError(f'{path} has samples that are NaN or infinite.')
    loudest = float(np.abs(samples).max())
    if loudest > _LOUDEST:
        raise DataFileError(f'{path} has samples up to {loudest:.0f}; samples stored as floats must lie in [-1, 1].')
    return samples, rate


def _missing_wav_bytes(content: bytes) -> int:
    """How many bytes of the ``data`` chunk a RIFF file promises but does not have; 0 for other files."""
    if content[:4] != b'RIFF' or content[8:12] != b'WAVE':
        return 0
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from('<4sI', content, position)
        position += 8
        if name == b'data':
            return 0 if size in _UNKNOWN_SIZES else max(0, position + size - len(content))
        position += size + size % 2
    return 0


class _TensorUnpickler(pickle.Unpickler):
    """Rebuilds plain tensors; every other global of a pickle is refused, so no code of the file runs."""

    def find_class(self, module: str, name: str) -> object:
        allowed = {
            ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
            ('torch.storage', '_load_from_bytes'): _load_storage,
            ('collections', 'OrderedDict'): collections.OrderedDict,
            # How bytes look in pickles of protocol 2.
            ('_codecs', 'encode'): _encode_latin1,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f'it wants to use {module}.{name}, which a log-mel does not need')
        return allowed[module, name]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """What ``_codecs.encode`` does for the bytes of a pickle, and nothing else."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'it encodes bytes as {encoding!r}')
    return text.encode('latin1')


def _load_storage(content: bytes) -> object:
    """A tensor's storage, by torch's restricted loader."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def read_pickled_log_mel(path: str) -> np.ndarray:
    """One of AVSBench's log-mels: a tensor written by ``pickle.dump`` or ``torch.save``.

    Args:
        path (str): File ``*.pkl``.

    Returns:
        np.ndarray: Shape (t, 1, 96, 64), float32.

    Raises:
        DataFileError: The file is damaged, needs anything but tensors, or holds another shape, type, or values that are
            not finite.
    """
    content = read_bytes(path)
    try:
        if content[:2] == b'PK':
            loaded = torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)
        else:
            loaded = _load_plain_pickle(content)
    except Exception as error:
        # A hostile or broken pickle can raise anything; all of it means the same to the user.
        reason = str(error).splitlines()[0].rstrip('.') if str(error) else type(error).__name__
        if 'weights_only' in reason:
            # torch's message goes on to recommend switching the protection off.
            reason = 'it needs more than tensors'
        raise DataFileError(f'{path} was refused: {reason}; expected a pickled tensor of shape (t, 1, '
                            f'{EXAMPLE_FRAMES}, {MEL_BANDS}).') from None
    if not isinstance(loaded, torch.Tensor):
        raise DataFileError(f'{path} holds a {type(loaded).__name__}; expected a tensor.')
    if (loaded.ndim != 4 or tuple(loaded.shape[1:]) != (1, EXAMPLE_FRAMES, MEL_BANDS)
            or not 0 < len(loaded) <= _MOST_EXAMPLES):
        raise DataFileError(f'{path} holds a tensor of shape {tuple(loaded.shape)}; expected (t, 1, {EXAMPLE_FRAMES}, '
                            f'{MEL_BANDS}) with t from 1 to {_MOST_EXAMPLES}.')
    if loaded.layout != torch.strided or not loaded.is_floating_point():
        raise DataFileError(f'{path} holds a tensor of {loaded.dtype} ({loaded.layout}); expected dense floats.')
    log_mel = loaded.detach().to(torch.float32).numpy()
    if not np.isfinite(log_mel).all():
        raise DataFileError(f'{path} has values that are NaN or infinite.')
    return np.ascontiguousarray(log_mel)


def _load_plain_pickle(content: bytes) -> object:
    """A ``pickle.dump`` of a tensor, or torch's format from before its zip files."""
    file = io.BytesIO(content)
    first = _TensorUnpickler(file).load()
    if isinstance(first, int):
        file.seek(0)
        return torch.load(file, map_location='cpu', weights_only=True)
    return first
