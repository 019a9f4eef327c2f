import os
import re

import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms.files import (
    read_binary_mask,
    read_bytes,
    read_frame,
    read_index_mask,
    read_palette_mask,
)
from mmavs.structures import avss_palette

SHAPE = (5, 7)


def save(path, array: np.ndarray, mode: str | None = None) -> str:
    Image.fromarray(array, mode).save(path)
    return str(path)


def pattern() -> np.ndarray:
    """A mask with both values, not symmetric."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:3, 2:6] = 1
    return mask


def palette_image(indices: np.ndarray, palette: list[int]) -> Image.Image:
    image = Image.fromarray(indices, 'P')
    image.putpalette(palette)
    return image


def test_frames_come_as_bgr(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    frame = read_frame(save(tmp_path / 'f.png', rgb))
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, rgb[..., ::-1])


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', '1', 'LA'])
def test_frames_of_other_modes_become_three_channels(tmp_path, mode):
    Image.fromarray(pattern() * 255).convert(mode).save(tmp_path / 'f.png')
    frame = read_frame(str(tmp_path / 'f.png'))
    assert frame.shape == (*SHAPE, 3)
    assert np.array_equal(frame[..., 1], pattern() * 255)


def test_jpeg_is_read(tmp_path):
    Image.new('RGB', (7, 5), (200, 100, 50)).save(tmp_path / 'f.jpg', quality=95)
    assert np.abs(read_frame(str(tmp_path / 'f.jpg')).astype(int) - [50, 100, 200]).max() <= 3


@pytest.mark.parametrize('values', [(0, 255), (0, 1)])
@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA'])
def test_binary_masks_of_grey_and_colour_modes(tmp_path, mode, values):
    Image.fromarray(pattern() * values[1]).convert(mode).save(tmp_path / 'm.png')
    mask = read_binary_mask(str(tmp_path / 'm.png'))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, pattern())


def test_binary_mask_of_mode_1(tmp_path):
    Image.fromarray(pattern() * 255).convert('1', dither=0).save(tmp_path / 'm.png')
    assert np.array_equal(read_binary_mask(str(tmp_path / 'm.png')), pattern())


@pytest.mark.parametrize('palette', [[0, 0, 0, 255, 255, 255], [0, 0, 0, 100, 0, 0], [0, 0, 0, 1, 1, 1]])
def test_binary_mask_of_mode_p_is_any_channel_above_zero(tmp_path, palette):
    palette_image(pattern(), palette).save(tmp_path / 'm.png')
    assert np.array_equal(read_binary_mask(str(tmp_path / 'm.png')), pattern())


def test_binary_mask_of_mode_p_follows_the_palette_not_the_index(tmp_path):
    palette_image(1 - pattern(), [255, 255, 255, 0, 0, 0]).save(tmp_path / 'm.png')
    assert np.array_equal(read_binary_mask(str(tmp_path / 'm.png')), pattern())


# Values of the brightest channels of L and RGB that no binary mask has.
NO_MASKS = {
    'grey 100': (0, 100), 'class indices': (0, 2), 'dark': (64, ), 'both conventions': (0, 1, 255),
    'soft': (0, 128, 255), 'lossy': (0, 3, 252, 255), 'noise': tuple(range(256)),
}


@pytest.mark.parametrize('mode', ['L', 'RGB'])
@pytest.mark.parametrize('values', NO_MASKS)
def test_other_values_are_refused_or_cut_at_128(tmp_path, mode, values):
    brightest = np.array([NO_MASKS[values]], dtype=np.uint8)
    pixels = brightest if mode == 'L' else np.stack([brightest, brightest // 2, brightest // 3], axis=-1)
    path = save(tmp_path / 'm.png', pixels)
    with pytest.raises(DataFileError, match=rf'm\.png \(mode {mode}\) holds the values .*; a binary mask holds 0'):
        read_binary_mask(path)
    assert read_binary_mask(path, other_values='threshold').tolist() == (brightest >= 128).tolist()


def test_the_message_about_other_values_shows_the_first_ones(tmp_path):
    path = save(tmp_path / 'm.png', np.array([[0, 9, 7, 9, 8, 255, 254]], dtype=np.uint8))
    with pytest.raises(DataFileError, match=r"the values 7, 8, 9 and 2 more beside 0; .*other_values='threshold'"):
        read_binary_mask(path)


@pytest.mark.parametrize('channel', [0, 1, 2])
def test_any_channel_of_a_colour_is_enough(tmp_path, channel):
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[..., channel] = 255 * pattern()
    assert np.array_equal(read_binary_mask(save(tmp_path / 'm.png', pixels)), pattern())


def test_a_palette_with_two_foregrounds_is_no_binary_mask(tmp_path):
    palette_image(np.arange(3, dtype=np.uint8)[None], [0, 0, 0, 100, 0, 0, 0, 200, 0]).save(tmp_path / 'm.png')
    with pytest.raises(DataFileError, match=r'\(mode P\) holds the values 100, 200 beside 0'):
        read_binary_mask(str(tmp_path / 'm.png'))
    palette_image(np.arange(3, dtype=np.uint8)[None], [0, 0, 0, 200, 0, 0, 0, 200, 0]).save(tmp_path / 'm.png')
    assert read_binary_mask(str(tmp_path / 'm.png')).tolist() == [[0, 1, 1]]


def test_an_empty_mask_is_empty(tmp_path):
    assert read_binary_mask(save(tmp_path / 'm.png', np.zeros(SHAPE, np.uint8))).sum() == 0


@pytest.mark.parametrize('mode', ['L', 'P', 'RGB'])
def test_index_masks(tmp_path, mode):
    indices = pattern() * 70
    image = Image.fromarray(indices)
    image = palette_image(indices, avss_palette().ravel().tolist()) if mode == 'P' else image.convert(mode)
    image.save(tmp_path / 'm.png')
    assert np.array_equal(read_index_mask(str(tmp_path / 'm.png')), indices)


def test_an_index_beyond_the_classes_names_file_and_value(tmp_path):
    path = save(tmp_path / 'm.png', pattern() * 71)
    with pytest.raises(DataFileError, match=r'm\.png holds the class index 71; indices run from 0 to 70'):
        read_index_mask(path)


def test_colours_in_an_index_mask_are_refused(tmp_path):
    path = save(tmp_path / 'm.png', np.full((*SHAPE, 3), (128, 0, 0), dtype=np.uint8))
    with pytest.raises(DataFileError, match='holds colours'):
        read_index_mask(path)


def test_palette_masks_find_all_71_classes(tmp_path):
    indices = np.arange(71, dtype=np.uint8).reshape(1, 71)
    path = save(tmp_path / 'm.png', avss_palette()[indices])
    assert np.array_equal(read_palette_mask(path), indices)


def test_a_colour_outside_the_palette_names_file_and_colour(tmp_path):
    # The palette goes on after the 71 classes of AVSS.
    for colour in ((128, 1, 0), tuple(avss_palette(72)[71].tolist())):
        colours = avss_palette()[pattern()].copy()
        colours[0, :2] = colour
        path = save(tmp_path / 'm.png', colours)
        with pytest.raises(DataFileError, match=rf'm\.png holds the colour {re.escape(str(colour))} .* in 2 pixels'):
            read_palette_mask(path)


def test_missing_empty_and_folder(tmp_path):
    (tmp_path / 'empty.png').touch()
    for name, reason in (('none.png', 'does not exist'), ('empty.png', r'is empty \(0 bytes\)'),
                         ('', 'cannot be read: Is a directory')):
        with pytest.raises(DataFileError, match=reason):
            read_frame(str(tmp_path / name))


def test_symlink_loop(tmp_path):
    os.symlink(tmp_path / 'b.png', tmp_path / 'a.png')
    os.symlink(tmp_path / 'a.png', tmp_path / 'b.png')
    with pytest.raises(DataFileError, match=r'a\.png cannot be read: Too many levels of symbolic links'):
        read_bytes(str(tmp_path / 'a.png'))


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may read every file')
def test_permission_denied(tmp_path):
    path = save(tmp_path / 'm.png', pattern())
    os.chmod(path, 0)
    with pytest.raises(DataFileError, match='Permission denied'):
        read_frame(path)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_picture_cut_anywhere_is_an_error_or_whole(tmp_path, suffix):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = tmp_path / f'whole{suffix}'
    Image.fromarray(rgb).save(whole)
    content, frame = whole.read_bytes(), read_frame(str(whole))
    cut = tmp_path / f'cut{suffix}'
    errors = []
    for share in np.linspace(0.01, 0.95, 30):
        cut.write_bytes(content[:int(share * len(content))])
        try:
            assert np.array_equal(read_frame(str(cut)), frame)
        except DataFileError as error:
            errors.append(str(error))
    assert len(errors) >= 29
    assert all(f'cut{suffix} is damaged or no picture' in error for error in errors)


def test_flipped_bytes_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / 'whole.png')
    content = np.frombuffer((tmp_path / 'whole.png').read_bytes(), dtype=np.uint8)
    path, refused = tmp_path / 'broken.png', 0
    for _ in range(100):
        broken = content.copy()
        broken[rng.integers(len(broken), size=3)] ^= rng.integers(1, 256, size=3, dtype=np.uint8)
        path.write_bytes(broken.tobytes())
        try:
            read_frame(str(path))
        except DataFileError:
            refused += 1
    assert refused > 80


def test_no_picture_and_16_bits(tmp_path):
    (tmp_path / 'text.png').write_text('hello')
    with pytest.raises(DataFileError, match=r'text\.png is damaged or no picture \(5 bytes\)'):
        read_frame(str(tmp_path / 'text.png'))
    path = save(tmp_path / 'deep.png', np.full(SHAPE, 1000, dtype=np.uint16))
    with pytest.raises(DataFileError, match='8 bits per channel'):
        read_binary_mask(path)
