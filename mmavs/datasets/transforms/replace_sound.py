"""Puts another sound in the place of a clip's own, to see what a model hears."""

import hashlib

import numpy as np
from mmcv.transforms import BaseTransform

from mmavs.datasets.errors import DataFileError
from mmavs.registry import TRANSFORMS

from .audio_files import decode_sound
from .files import read_bytes
from .log_mel import SAMPLE_RATE

SOUND_KINDS = ('silence', 'noise', 'noise_added')
# Loudness of noise where the clip itself is silent: about that of speech in AVSBench.
_DEFAULT_RMS = 0.1


@TRANSFORMS.register_module()
class ReplaceSound(BaseTransform):
    """Sets ``waveform``, shape (n, channels), and ``sample_rate``, which ``LogMelSpectrogram`` takes before any file.

    The sound covers all T frames of the clip (T is the number of ``img_path``). Noise is white and Gaussian, the same
    in all channels and the same for a clip in every run, whatever the order and the number of workers: it depends on
    ``seed`` and ``video_id``. Loudness is root mean square over the clip's own sound, mean of its channels; a clip that
    is silent counts as 0.1. Nothing is clipped.

    For another clip's sound use ``AVSBenchDataset(sound_of=...)``.

    Args:
        kind (str): ``silence``; ``noise`` as loud as the clip's own sound, in its place; or ``noise_added``, noise on
            top of the clip's own sound.
        snr_db (float): For ``noise_added``: how much louder the clip's own sound is than the noise, in dB. Defaults
            to 0.
        seed (int): Defaults to 0.

    Raises:
        ValueError: Unknown ``kind``, or ``seed`` below 0.
        DataFileError: (when called) ``kind`` needs the clip's own sound and there is no sound file, or it cannot be
            read; the message names it. AVSBench's pickled log-mels cannot be mixed.
    """

    def __init__(self, kind: str, snr_db: float = 0.0, seed: int = 0) -> None:
        if kind not in SOUND_KINDS:
            raise ValueError(f'ReplaceSound: kind must be one of {list(SOUND_KINDS)}, got {kind!r}.')
        if seed < 0:
            raise ValueError(f'ReplaceSound: seed must be 0 or more, got {seed}.')
        self.kind = kind
        self.snr_db = snr_db
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Replaces the sound of one clip; see the class."""
        seconds = len(results['img_path'])
        if self.kind == 'silence':
            results['waveform'], results['sample_rate'] = np.zeros((seconds * SAMPLE_RATE, 1)), SAMPLE_RATE
            return results
        path = results.get('audio_path')
        if path is None:
            raise DataFileError(f"the clip has no sound file, which ReplaceSound({self.kind!r}) needs.")
        # As many samples as LogMelSpectrogram would read.
        own, rate = decode_sound(read_bytes(path), path, seconds=seconds + 2)
        own = own.astype(np.float64)
        loudness = float(np.sqrt(np.square(own.mean(axis=1)).mean())) or _DEFAULT_RMS
        own = np.pad(own, ((0, max(0, seconds * rate - len(own))), (0, 0)))
        noise = loudness * self._noise(str(results['video_id']), len(own))
        if self.kind == 'noise_added':
            noise = own + noise * 10 ** (-self.snr_db / 20)
        results['waveform'], results['sample_rate'] = noise, rate
        return results

    def _noise(self, video_id: str, length: int) -> np.ndarray:
        """White noise of RMS 1, shape (length, 1)."""
        name = int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8], 'big')
        return np.random.default_rng([self.seed, name]).standard_normal((length, 1))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(kind={self.kind!r}, snr_db={self.snr_db}, seed={self.seed})'
