"""Files that are unusual and all right: they load, with the right values."""

import io
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mmavs.datasets import AVSBenchDataset
from mmavs.datasets.transforms import vggish_log_mel
from tests.datasets.damage import RATE, log_mel, lossy, overwrite, pickled, saved, sound, tone

LOAD = [dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.LoadClipMasks'), dict(type='mmavs.LogMelSpectrogram'),
        dict(type='mmavs.PackAVSInputs')]
SILENCE = np.log(0.01)


@pytest.fixture
def root(shapes_root, tmp_path):
    shutil.copytree(shapes_root / 'Multi-sources', tmp_path / 'Multi-sources')
    return tmp_path


def build(root, **settings) -> AVSBenchDataset:
    return AVSBenchDataset(**dict(dict(subset='ms3', split='test', data_root=str(root), pipeline=LOAD), **settings))


def audio_after(root, change, pad: str = 'silence') -> np.ndarray:
    """Log-mel of clip 1 after ``change`` of its sound file, with ``on_error='skip'`` having nothing to skip."""
    pipeline = [*LOAD[:2], dict(LOAD[2], pad=pad), LOAD[3]]
    change(Path(build(root).get_data_info(1)['audio_path']))
    dataset = build(root, on_error='skip', pipeline=pipeline)
    assert dataset.skipped == []
    return dataset[1]['inputs']['audio'].numpy()[:, 0]


def expected(samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    return vggish_log_mel(samples, rate)


# Name: (how it is stored, the samples that it stands for).
FORMATS = {
    '8 bits': (sound(tone(), subtype='PCM_U8'), np.floor(tone() * 128 + 0.5) / 128),
    '16 bits': (sound(tone()), np.round(tone() * 32768) / 32768),
    '24 bits': (sound(tone(), subtype='PCM_24'), tone()),
    '32 bits': (sound(tone(), subtype='PCM_32'), tone()),
    'floats': (sound(tone(), subtype='FLOAT'), tone()),
    'doubles': (sound(tone(), subtype='DOUBLE'), tone()),
    'floats a little above 1': (sound(2.5 * tone(), subtype='FLOAT'), 2.5 * tone()),
    'stereo': (sound(np.stack([1.5 * tone(), 0.5 * tone()], axis=1), subtype='FLOAT'), tone()),
    'six channels': (sound(np.stack([tone()] * 5 + [0 * tone()], axis=1), subtype='FLOAT'), tone() * 5 / 6),
    'extensible header': (sound(tone(), subtype='FLOAT', form='WAVEX'), tone()),
    'FLAC under the name of WAV': (sound(tone(), subtype='PCM_24', form='FLAC'), tone()),
    'silence': (sound(np.zeros(5 * RATE)), np.zeros(5 * RATE)),
    'longer than the clip': (sound(tone(9.0), subtype='FLOAT'), tone(9.0)[:80000]),
    'length unknown to a streaming writer': (lambda path: (sound(tone(), subtype='PCM_24')(path),
                                                           overwrite(40, struct.pack('<I', 0xFFFFFFFF))(path)), tone()),
}


@pytest.mark.parametrize('form', FORMATS)
def test_sample_formats(root, form):
    store, samples = FORMATS[form]
    found, right = np.exp(audio_after(root, store)), np.exp(expected(samples))
    # 8 bits are rounded one way or the other.
    assert np.abs(found - right).max() < (0.2 if form == '8 bits' else 1e-3)


@pytest.mark.parametrize('rate', [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_sample_rates(root, rate):
    found = audio_after(root, sound(tone(rate=rate), rate=rate, subtype='FLOAT'))
    # The last window sees the end, where resamplers differ. Between the tones there is next to nothing to hear.
    assert np.abs(np.exp(found) - np.exp(expected(tone())))[:, :-3].max() < 0.02 * np.exp(expected(tone())).max()


@pytest.mark.parametrize('seconds', [0.001, 0.5, 2.0, 4.9])
def test_sounds_shorter_than_the_clip_are_padded_with_silence(root, seconds):
    found = audio_after(root, sound(tone(seconds), subtype='FLOAT'))
    samples = np.zeros(5 * RATE)
    samples[:int(seconds * RATE)] = tone(seconds)
    assert np.abs(found - expected(samples)).max() < 1e-3
    if seconds < 3:
        assert np.allclose(found[3:], SILENCE, atol=1e-5)


def test_the_other_ways_to_pad(root):
    two = sound(tone(2.0), subtype='FLOAT')
    repeated = audio_after(root, two, pad='repeat')
    assert np.abs(repeated[:2] - expected(tone(2.0))).max() < 1e-3
    assert np.array_equal(repeated[4], repeated[1])
    assert np.all(audio_after(root, two, pad='zero_logmel')[2:] == 0)


@pytest.mark.parametrize(('store', 'examples', 'value'), [
    (pickled(log_mel()), 5, -1.0), (saved(log_mel()), 5, -1.0), (saved(log_mel(), zipped=False), 5, -1.0),
    (pickled(log_mel(dtype=torch.float16)), 5, -1.0), (pickled(log_mel(dtype=torch.float64)), 5, -1.0),
    (pickled(log_mel(value=0.5).requires_grad_()), 5, 0.5), (pickled(log_mel(9)), 5, -1.0),
    (pickled(log_mel(3)), 3, -1.0), (lambda path: path.write_bytes(pickle.dumps(log_mel(), protocol=0)), 5, -1.0)],
    ids=['pickle', 'torch', 'old torch', 'half', 'double', 'grad', 'long', 'short', 'text pickle'])
def test_published_log_mels(root, store, examples, value):
    info = build(root).get_data_info(1)
    Path(info['audio_path']).unlink()
    store(Path(info['audio_logmel_path']))
    found = build(root, on_error='skip')[1]['inputs']['audio'].numpy()
    assert found.shape == (5, 1, 96, 64)
    assert np.all(found[:examples] == value)
    assert np.allclose(found[examples:], SILENCE)


def as_mode(path: Path, mode: str) -> None:
    Image.open(path).convert(mode).save(path, format='PNG')


@pytest.mark.parametrize('change', ['L 255', 'L 1', '1', 'P', 'RGB 255', 'RGB red', 'RGBA'])
def test_masks_of_every_published_mode(root, change):
    before = build(root)[1]['data_samples'].gt_sem_seg.data.numpy()
    path = Path(build(root).get_data_info(1)['seg_map_path'][2])
    mask = before[2]
    assert 0 < mask.mean() < 1
    if change == 'P':
        image = Image.new('P', mask.shape[::-1])
        image.putpalette([0, 0, 0, 64, 0, 0])
        image.putdata(mask.flatten().tolist())
    elif change == 'RGB red':
        image = Image.fromarray(mask[..., None] * np.array([255, 0, 0], np.uint8))
    else:
        scale = 1 if change == 'L 1' else 255
        image = Image.fromarray(mask * np.uint8(scale)).convert(change.split()[0])
    image.save(path)
    after = build(root, on_error='skip')[1]['data_samples'].gt_sem_seg.data.numpy()
    assert np.array_equal(after, before)


def test_a_lossy_copy_of_a_mask_can_be_cut_in_the_middle(root):
    before = build(root)[1]['data_samples'].gt_sem_seg.data.numpy()
    path = Path(build(root).get_data_info(1)['seg_map_path'][2])
    lossy(path)
    pipeline = [LOAD[0], dict(LOAD[1], other_values='threshold'), *LOAD[2:]]
    after = build(root, pipeline=pipeline)[1]['data_samples'].gt_sem_seg.data.numpy()
    assert (after != before).mean() < 1e-3


@pytest.mark.parametrize('change', ['RGBA', 'jpeg', 'trailing bytes', 'linked', 'bitmap'])
def test_frames_of_other_kinds(root, change):
    before = build(root)[1]['inputs']['img'].numpy()
    path = Path(build(root).get_data_info(1)['img_path'][2])
    if change == 'RGBA':
        as_mode(path, 'RGBA')
    elif change == 'jpeg':
        file = io.BytesIO()
        Image.open(path).save(file, format='JPEG', quality=100, subsampling=0)
        path.write_bytes(file.getvalue())
    elif change == 'trailing bytes':
        path.write_bytes(path.read_bytes() + b'\0' * 100)
    elif change == 'linked':
        path.rename(path.with_name('elsewhere'))
        path.symlink_to('elsewhere')
    else:
        Image.open(path).save(path, format='BMP')
    after = build(root, on_error='skip')[1]['inputs']['img'].numpy()
    difference = np.abs(after.astype(int) - before.astype(int))
    assert difference.max() <= (12 if change == 'jpeg' else 0)


def test_grey_frames_have_three_equal_channels(root):
    path = Path(build(root).get_data_info(1)['img_path'][2])
    as_mode(path, 'L')
    image = build(root)[1]['inputs']['img'][2]
    assert torch.equal(image[0], torch.from_numpy(np.array(Image.open(path))))
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


def test_files_that_no_table_promises_do_not_matter(root, shapes_root):
    info = build(root).get_data_info(1)
    for path in (info['img_path'][4], info['seg_map_path'][4]):
        shutil.copy(path, path.replace('_5.png', '_6.png'))
    (root / 'Multi-sources/ms3_data/visual_frames/.DS_Store').touch()
    found, original = build(root)[1], build(shapes_root)[1]
    assert torch.equal(found['inputs']['img'], original['inputs']['img'])
    assert torch.equal(found['data_samples'].gt_sem_seg.data, original['data_samples'].gt_sem_seg.data)


def test_a_data_root_behind_links(root, tmp_path):
    os.symlink(root / 'Multi-sources', tmp_path / 'link')
    assert torch.equal(build(tmp_path / 'link')[1]['inputs']['img'], build(root)[1]['inputs']['img'])


def test_the_written_wav_is_what_soundfile_reads(root):
    # Guards the other tests: their helper must not round differently from what it says.
    path = root / 'a.wav'
    FORMATS['8 bits'][0](path)
    assert np.abs(soundfile.read(path)[0] - FORMATS['8 bits'][1]).max() <= 1 / 128
