import io
import os
import pickle
import struct

import numpy as np
import pytest
import soundfile
import torch

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms.audio_files import decode_sound, read_pickled_log_mel

RATE = 16000


def wav(samples: np.ndarray, subtype: str = 'PCM_16', rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format='WAV', subtype=subtype)
    return file.getvalue()


def tone(channels: int = 1) -> np.ndarray:
    t = np.arange(RATE) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * 300 * (k + 1) * t) for k in range(channels)], axis=1)


@pytest.mark.parametrize(('subtype', 'step'), [
    ('PCM_U8', 2**-7), ('PCM_16', 2**-15), ('PCM_24', 2**-23), ('PCM_32', 2**-24), ('FLOAT', 2**-24),
    ('DOUBLE', 2**-24)])
@pytest.mark.parametrize('channels', [1, 2])
def test_every_sample_format(subtype, step, channels):
    samples, rate = decode_sound(wav(tone(channels), subtype, rate=22050), 'a.wav')
    assert (samples.shape, samples.dtype, rate) == ((RATE, channels), np.float32, 22050)
    assert np.abs(samples - tone(channels)).max() <= step


def test_int16_is_divided_by_32768():
    samples, _ = decode_sound(wav(np.array([[-32768], [16384], [32767]], dtype=np.int16)), 'a.wav')
    assert samples.ravel().tolist() == [-1.0, 0.5, 32767 / 32768]


def test_one_sample_far_beyond_full_scale_says_that_the_floats_are_not_scaled():
    wave = np.full((100, 1), 0.1, np.float32)
    wave[7] = -100     # overdriven, but a sound
    assert decode_sound(wav(wave, 'FLOAT'), 'a.wav')[0].min() == -100
    wave[7] = -32768
    with pytest.raises(DataFileError, match=r'a\.wav has samples up to 32768; samples stored as floats must lie in'):
        decode_sound(wav(wave, 'FLOAT'), 'a.wav')


def test_reading_stops_after_the_given_time():
    samples, _ = decode_sound(wav(tone()), 'a.wav', seconds=0.25)
    assert len(samples) == 4000


def test_flac_is_read_too():
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format='FLAC')
    assert len(decode_sound(file.getvalue(), 'a.flac')[0]) == RATE


def test_a_cut_wav_says_how_much_is_missing():
    with pytest.raises(DataFileError, match=r'a\.wav is cut off: its header promises 1000 bytes more'):
        decode_sound(wav(tone())[:-1000], 'a.wav')


@pytest.mark.parametrize('size', [0xFFFFFFFF, 0x7FFFF000])
def test_a_streamed_wav_of_unknown_length_is_read(size):
    content = wav(tone())
    position = content.index(b'data') + 4
    content = content[:position] + struct.pack('<I', size) + content[position + 4:]
    assert len(decode_sound(content, 'a.wav')[0]) == RATE


def test_chunks_before_the_data_are_passed_over():
    content = wav(tone())
    extra = b'LIST' + struct.pack('<I', 5) + b'hello\0'
    position = content.index(b'data')
    assert len(decode_sound(content[:position] + extra + content[position:], 'a.wav')[0]) == RATE


# Wavs with floats hold the time of writing, so contents make no names of tests.
NO_SOUND = {
    'text': (b'hello', 'damaged or no sound'),
    'empty header': (b'RIFF\0\0\0\0WAVE', 'damaged or no sound'),
    'noise': (np.random.default_rng(0).bytes(2000), 'damaged or no sound'),
    'no samples': (wav(np.zeros((0, 1))), 'holds no samples'),
    'NaN': (wav(np.array([[0.0], [np.nan]]), 'FLOAT'), 'NaN or infinite'),
    'infinite': (wav(np.array([[0.0], [np.inf]]), 'FLOAT'), 'NaN or infinite')}


@pytest.mark.parametrize('kind', NO_SOUND)
def test_files_that_are_no_sound(kind):
    content, message = NO_SOUND[kind]
    with pytest.raises(DataFileError, match=rf'a\.wav .*{message}|a\.wav {message}'):
        decode_sound(content, 'a.wav')


def test_broken_headers_never_raise_anything_else():
    rng, content = np.random.default_rng(0), np.frombuffer(wav(tone())[:3000], dtype=np.uint8)
    refused = 0
    for _ in range(200):
        broken = content.copy()
        broken[rng.integers(48, size=4)] = rng.integers(0, 256, size=4, dtype=np.uint8)
        try:
            decode_sound(broken.tobytes(), 'a.wav')
        except DataFileError:
            refused += 1
    assert refused > 100


class Intruder:
    """Its pickle writes a file when it is loaded carelessly."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path, )


def log_mel(num_examples: int = 5) -> torch.Tensor:
    return torch.randn(num_examples, 1, 96, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_a_plain_pickle_as_avsbench_writes_it(tmp_path, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(log_mel(), protocol=protocol))
    found = read_pickled_log_mel(str(path))
    assert found.dtype == np.float32
    assert np.array_equal(found, log_mel().numpy())


@pytest.mark.filterwarnings('ignore::UserWarning')
@pytest.mark.parametrize('zipped', [True, False])
def test_both_formats_of_torch_save(tmp_path, zipped):
    torch.save(log_mel(), tmp_path / 'a.pkl', _use_new_zipfile_serialization=zipped)
    assert np.array_equal(read_pickled_log_mel(str(tmp_path / 'a.pkl')), log_mel().numpy())


@pytest.mark.parametrize('tensor', [
    log_mel().double(), log_mel().requires_grad_(), log_mel(10)[2:7], log_mel().transpose(2, 3).contiguous()
    .transpose(2, 3)])
def test_doubles_gradients_and_views(tmp_path, tensor):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(tensor))
    assert np.array_equal(read_pickled_log_mel(str(path)), tensor.detach().float().numpy())


@pytest.mark.filterwarnings('ignore::UserWarning')
@pytest.mark.parametrize('how', ['pickle', 'beside a tensor', 'zip', 'old'])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path, how):
    path, trace = tmp_path / 'a.pkl', tmp_path / 'trace'
    intruder = Intruder(str(trace))
    if how == 'pickle':
        path.write_bytes(pickle.dumps(intruder))
    elif how == 'beside a tensor':
        path.write_bytes(pickle.dumps([log_mel(), intruder]))
    else:
        torch.save(intruder, path, _use_new_zipfile_serialization=how == 'zip')
    message = r'a\.pkl was refused: it (wants to use \w+\.mkdir|needs more than tensors)'
    with pytest.raises(DataFileError, match=message):
        read_pickled_log_mel(str(path))
    assert not trace.exists()


def test_a_hostile_storage_inside_a_tensor_is_refused(tmp_path):
    class Rebuild:

        def __reduce__(self) -> tuple:
            return torch.storage._load_from_bytes, (pickle.dumps(Intruder(str(tmp_path / 'trace'))), )

    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(Rebuild()))
    with pytest.raises(DataFileError, match='was refused'):
        read_pickled_log_mel(str(tmp_path / 'a.pkl'))
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize(('content', 'message'), [
    (log_mel()[:, 0], r'shape \(5, 96, 64\); expected \(t, 1, 96, 64\)'),
    (log_mel().transpose(2, 3), r'shape \(5, 1, 64, 96\)'), (log_mel(0), 'with t from 1 to 3600'),
    (log_mel().int(), 'torch.int32'), (log_mel() * float('nan'), 'NaN or infinite'), ({'a': 1}, 'holds a dict'),
    ([1.0], 'holds a list')])
def test_other_content_is_refused(tmp_path, content, message):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(DataFileError, match=rf'a\.pkl .*{message}'):
        read_pickled_log_mel(str(tmp_path / 'a.pkl'))


@pytest.mark.parametrize('content', [b'hello', pickle.dumps(log_mel())[:-500], pickle.dumps(7), b'PK\3\4rubbish'])
def test_damaged_pickles_are_refused(tmp_path, content):
    (tmp_path / 'a.pkl').write_bytes(content)
    with pytest.raises(DataFileError, match=r'a\.pkl was refused'):
        read_pickled_log_mel(str(tmp_path / 'a.pkl'))
