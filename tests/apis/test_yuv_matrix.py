from fractions import Fraction

import av
import numpy as np
import pytest

from mmavs.apis.film_writer import FilmWriter
from mmavs.apis.video_reader import VideoReader
from mmavs.apis.yuv_matrix import BT709, LIMITED, SMPTE170M

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 190, 11), (200, 30, 120)]
# Weights of red and blue in the brightness.
WEIGHTS = {BT709: (0.2126, 0.0722), SMPTE170M: (0.299, 0.114)}
STRIPE = 32
UNSPECIFIED, YCGCO, BT2020_CONSTANT = 2, 8, 10


def in_yuv(colour, matrix):
    """8-bit limited range, by the definition."""
    red_weight, blue_weight = WEIGHTS[matrix]
    red, green, blue = (value / 255 for value in colour)
    light = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    return [16 + 219 * light, 128 + 112 * (blue - light) / (1 - blue_weight),
            128 + 112 * (red - light) / (1 - red_weight)]


def stripes(planes):
    """Values in the middle of each stripe of planes that are stored at full or half size."""
    return [[int(plane[plane.shape[0] // 2, (2 * index + 1) * plane.shape[1] // (2 * len(COLOURS))])
             for plane in planes] for index in range(len(COLOURS))]


def write_yuv(path, lines, stored, tagged):
    """A film of one picture whose planes are those of the colours in one matrix, tagged or not."""
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=10, options={'crf': '1'})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = STRIPE * len(COLOURS), lines, 'yuv420p'
        context.colorspace = tagged
        values = np.rint([in_yuv(colour, stored) for colour in COLOURS]).astype(np.uint8)
        full = np.repeat(values, STRIPE, axis=0)[None].repeat(lines, axis=0)
        half = full[::2, ::2]
        packed = np.concatenate([full[..., 0].ravel(), half[..., 1].ravel(), half[..., 2].ravel()])
        frame = av.VideoFrame.from_ndarray(packed.reshape(lines * 3 // 2, -1), format='yuv420p')
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


@pytest.mark.parametrize(('suffix', 'lines', 'matrix'), [
    ('.mp4', 720, BT709), ('.m4v', 720, BT709), ('.mov', 720, BT709), ('.mkv', 720, BT709), ('.webm', 720, BT709),
    ('.mp4', 719, BT709), ('.mp4', 718, SMPTE170M), ('.webm', 360, SMPTE170M)])
def test_films_are_written_in_the_matrix_that_they_name(tmp_path, suffix, lines, matrix):
    path = tmp_path / f'a{suffix}'
    shown = np.repeat(np.array(COLOURS, np.uint8), STRIPE, axis=0)[None].repeat(lines, axis=0)
    with FilmWriter(path, shown.shape[:2], Fraction(10)) as film:
        film.write(shown, Fraction(0))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (
        matrix, BT709, BT709, LIMITED)
    planes = [np.asarray(plane).reshape(plane.height, plane.line_size)[:, :plane.width] for plane in frame.planes]
    for colour, found in zip(COLOURS, stripes(planes), strict=True):
        assert np.abs(np.subtract(found, in_yuv(colour, matrix))).max() <= 3


@pytest.mark.parametrize(('lines', 'stored', 'tagged'), [
    (720, BT709, UNSPECIFIED), (718, SMPTE170M, UNSPECIFIED), (720, SMPTE170M, SMPTE170M), (240, BT709, BT709),
    # Tags that FFmpeg cannot convert by are as good as none.
    (720, BT709, YCGCO), (240, SMPTE170M, BT2020_CONSTANT)])
def test_colours_are_read_by_the_tag_or_the_size(tmp_path, lines, stored, tagged):
    write_yuv(tmp_path / 'a.mp4', lines, stored, tagged)
    frame = next(iter(VideoReader(tmp_path / 'a.mp4')))
    assert frame.picture.colorspace == tagged
    for colour, found in zip(COLOURS, stripes(np.moveaxis(frame.rgb(), -1, 0)), strict=True):
        assert np.abs(np.subtract(found, colour)).max() <= 4


def test_colours_do_not_change_from_film_to_film(tmp_path):
    write_yuv(tmp_path / 'a.mp4', 720, BT709, UNSPECIFIED)
    first = next(iter(VideoReader(tmp_path / 'a.mp4'))).rgb()
    with FilmWriter(tmp_path / 'b.mp4', first.shape[:2], Fraction(10)) as film:
        film.write(first, Fraction(0))
    second = next(iter(VideoReader(tmp_path / 'b.mp4'))).rgb()
    middles = np.arange(len(COLOURS)) * STRIPE + STRIPE // 2
    assert np.abs(first[360, middles].astype(int) - second[360, middles]).max() <= 4
