import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.scene import SceneStyle, sample_scene
from tests.apis.media import read_pictures, read_sound, write_film

DEMO = Path(__file__).resolve().parents[2] / 'demo'


def load(name):
    spec = importlib.util.spec_from_file_location(name, DEMO / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def shapes_film():
    return load('shapes_film')


@pytest.fixture(scope='module')
def film_to_gif():
    return load('film_to_gif')


def test_film_of_shapes(shapes_film, tmp_path):
    out = tmp_path / 'a.mp4'
    assert shapes_film.main([str(out), '--seconds', '3', '--size', '96', '64', '--fps', '8', '--seed', '4']) == 0
    pictures = read_pictures(out)
    assert [time for time, _ in pictures] == pytest.approx([index / 8 for index in range(24)], abs=1e-3)
    assert all(picture.shape == (64, 96, 3) for _, picture in pictures)
    changes = [np.abs(a.astype(int) - b).mean() for (_, a), (_, b) in pairwise(pictures)]
    # Light and ground stay, the shapes move on.
    assert 0 < np.mean(changes[8:]) < 6
    sound, rate = read_sound(out)
    assert rate == 16000
    assert len(sound) == pytest.approx(3 * rate, abs=3000)


def test_a_second_is_loud_when_a_shape_sounds(shapes_film, tmp_path):
    scene = shapes_film.write_shapes_film(tmp_path / 'a.mkv', seconds=12, size=(64, 64), fps=1, seed=20)
    sound, rate = read_sound(tmp_path / 'a.mkv')
    loudness = [float(np.sqrt(np.mean(sound[int((k + 0.2) * rate):int((k + 0.8) * rate)] ** 2))) for k in range(12)]
    heard = scene.sounding.any(axis=1) | scene.offscreen
    assert (heard.sum(), (~heard).sum()) == (9, 3)
    assert min(value for value, is_heard in zip(loudness, heard, strict=True) if is_heard) > 0.012
    assert max(value for value, is_heard in zip(loudness, heard, strict=True) if not is_heard) < 0.006


def test_shapes_move_straight_between_seconds(shapes_film):
    scene = sample_scene(SceneStyle(num_frames=4, size=(64, 64), kinds=KINDS), np.random.default_rng(0))
    for seconds, expected in ((0, scene.centres[0]), (1.9375, scene.centres[1]), (9, scene.centres[3]),
                              (2.1875, 0.75 * scene.centres[1] + 0.25 * scene.centres[2])):
        assert np.allclose(shapes_film.scene_at(scene, seconds).centres, expected[None])


@pytest.mark.parametrize(('options', 'message'), [
    (['--seconds', '0'], 'seconds=0 must be 1 or more'), (['--size', '96', '32'], 'size=32 must be 64 or more'),
    (['--fps', '0'], 'fps=0 must be 1 or more'), (['--seed', '-1'], 'seed=-1 must be 0 or more')])
def test_wrong_numbers(shapes_film, tmp_path, capsys, options, message):
    assert shapes_film.main([str(tmp_path / 'a.mp4'), *options]) == 1
    assert capsys.readouterr().err == f'shapes_film: {message}.\n'
    assert list(tmp_path.iterdir()) == []


def test_gif(film_to_gif, tmp_path, capsys):
    film, out = write_film(tmp_path / 'a.mp4', seconds=2), tmp_path / 'a.gif'
    assert film_to_gif.main([str(film), str(out), '--fps', '5', '--width', '32', '--colours', '16']) == 0
    assert '10 pictures' in capsys.readouterr().out
    with Image.open(out) as gif:
        assert (gif.size, gif.n_frames, gif.info['loop']) == ((32, 24), 10, 0)
        lengths, places = [], []
        for index in range(gif.n_frames):
            gif.seek(index)
            lengths.append(gif.info['duration'])
            shown = np.asarray(gif.convert('RGB')).astype(int)
            assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= 16
            places.append(np.argmax((shown[..., 2] - shown[..., 0])[10]))
    assert lengths == [200] * 10
    # The square stands at 4 + 4 k of 64 pixels, k = 0, 2, 4, 6, 8 and again.
    assert np.abs(np.array(places) - np.array([2, 6, 10, 14, 18] * 2)).max() <= 5


def test_gif_of_no_film_and_with_wrong_numbers(film_to_gif, tmp_path, capsys):
    film = write_film(tmp_path / 'b.mp4', seconds=0.2)
    assert film_to_gif.main([str(tmp_path / 'none.mp4'), str(tmp_path / 'a.gif')]) == 1
    assert 'none.mp4 does not exist' in capsys.readouterr().err
    for options in (dict(fps=0), dict(fps=51), dict(colours=1), dict(colours=257)):
        with pytest.raises(ValueError, match=r'must lie in 0\.\.50 and'):
            film_to_gif.film_to_gif(film, tmp_path / 'a.gif', **options)
