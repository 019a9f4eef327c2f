"""From a clip's sound to one log-mel example per frame."""

import os

import numpy as np
from mmcv.transforms import BaseTransform

from mmavs.datasets.errors import DataFileError
from mmavs.registry import TRANSFORMS

from .audio_files import decode_sound, read_pickled_log_mel
from .files import read_bytes
from .log_mel import LOG_MEL_SILENCE, SAMPLE_RATE, mono_sound, num_samples, vggish_log_mel
from .log_mel_cache import LogMelCache

PAD_MODES = ('silence', 'repeat', 'zero_logmel')


@TRANSFORMS.register_module()
class LogMelSpectrogram(BaseTransform):
    """Sets ``audio``, shape (T, 1, 96, 64), float32: VGGish's log-mel of each of the clip's T frames.

    The sound is taken from ``waveform`` (floats in [-1, 1], shape (n,) or (n, channels)) with ``sample_rate`` in Hz, if
    the dict has them, else from the file ``audio_path``, else from AVSBench's pickled log-mel ``audio_logmel_path``. T
    is the number of ``img_path`` (or of ``imgs``). A sound that gives more than T examples is cut.

    Args:
        pad (str): What a sound gets that gives fewer than T examples: ``silence`` pads the waveform (log-mel -4.605),
            ``repeat`` repeats the last example, ``zero_logmel`` appends zeros (which is loud). The last two are what
            published code does. Defaults to ``silence``.
        cache_dir (str, optional): Folder where log-mels of sound files are kept. Defaults to None: no cache.
        keep_sound (bool): Also set ``sound``, what the log-mel was computed from: shape (n,), float32, mono at 16 kHz,
            cut to T seconds; None where the log-mel itself is the file. It takes time and memory, so it is for looking
            at the data. Defaults to False.

    Raises:
        ValueError: Unknown ``pad``.
        DataFileError: There is no sound, it cannot be read, or it is empty; the message names the file.
    """

    def __init__(self, pad: str = 'silence', cache_dir: str | None = None, keep_sound: bool = False) -> None:
        if pad not in PAD_MODES:
            raise ValueError(f'LogMelSpectrogram: pad must be one of {list(PAD_MODES)}, got {pad!r}.')
        self.pad = pad
        self.cache_dir = cache_dir
        self.keep_sound = keep_sound
        self._cache = None if cache_dir is None else LogMelCache(cache_dir)

    def transform(self, results: dict) -> dict:
        """Computes or loads the log-mel of one clip; see the class."""
        count = len(results['img_path'] if 'img_path' in results else results['imgs'])
        sound, pickled = results.get('audio_path'), results.get('audio_logmel_path')
        if results.get('waveform') is not None:
            results['audio'] = self._from_waveform(results['waveform'], results['sample_rate'], count, 'the waveform')
        elif sound is not None and os.path.lexists(sound):
            results['audio'] = self._from_file(sound, count)
        elif pickled is not None and os.path.lexists(pickled):
            results['audio'] = self._fit(read_pickled_log_mel(pickled), count, pickled)
            results['audio_path'] = None
        else:
            paths = [path for path in (sound, pickled) if path is not None]
            raise DataFileError(f'{" and ".join(paths) or "audio_path"} do{"" if len(paths) == 2 else "es"} not exist: '
                                'the clip has no sound.')
        if self.keep_sound:
            results['sound'] = self._heard(results, count)
        return results

    @staticmethod
    def _heard(results: dict, count: int) -> np.ndarray | None:
        """The sound of ``count`` seconds below the log-mel, or None where only the log-mel is known."""
        waveform, rate = results.get('waveform'), results.get('sample_rate')
        if waveform is None:
            path = results.get('audio_path')
            if path is None:
                return None
            waveform, rate = decode_sound(read_bytes(path), path, seconds=count + 2)
        return mono_sound(waveform, rate)[:count * SAMPLE_RATE].astype(np.float32)

    def _from_file(self, path: str, count: int) -> np.ndarray:
        content = read_bytes(path)
        place = self._cache.path(content, count, self.pad) if self._cache else None
        cached = self._cache.load(place, count) if self._cache else None
        if cached is not None:
            return cached
        # Two seconds more than T examples cover, so that the resampler sees past their end.
        samples, rate = decode_sound(content, path, seconds=count + 2)
        log_mel = self._from_waveform(samples, rate, count, path)
        if self._cache:
            self._cache.store(place, log_mel)
        return log_mel

    def _from_waveform(self, waveform: np.ndarray, rate: int, count: int, name: str) -> np.ndarray:
        """Log-mel of shape (count, 1, 96, 64) of samples (n,) or (n, channels)."""
        if len(waveform) == 0:
            raise DataFileError(f'{name} holds no samples.')
        if self.pad == 'silence':
            # One window more than is needed: resampling may round the length down.
            needed = -(-(num_samples(count) * rate) // SAMPLE_RATE) + rate // 40
            lacking = max(0, needed - len(waveform))
            waveform = np.pad(waveform, [(0, lacking)] + [(0, 0)] * (waveform.ndim - 1))
        return self._fit(vggish_log_mel(waveform, rate)[:, None], count, name)

    def _fit(self, log_mel: np.ndarray, count: int, name: str) -> np.ndarray:
        """Cuts or pads (t, 1, 96, 64) to ``count`` examples."""
        lacking = count - len(log_mel)
        if lacking <= 0:
            return log_mel[:count]
        if self.pad == 'repeat':
            if len(log_mel) == 0:
                raise DataFileError(f"{name} is shorter than one example of 0.975 s, so there is nothing to repeat; "
                                    "use LogMelSpectrogram(pad='silence').")
            return np.concatenate([log_mel, np.repeat(log_mel[-1:], lacking, axis=0)])
        value = LOG_MEL_SILENCE if self.pad == 'silence' else 0.0
        return np.pad(log_mel, ((0, lacking), (0, 0), (0, 0), (0, 0)), constant_values=value)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(pad={self.pad!r}, cache_dir={self.cache_dir!r}, '
                f'keep_sound={self.keep_sound})')
