import numpy as np
import pytest

from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.scene import SceneStyle, sample_scene, scene_sound


def style(**changes) -> SceneStyle:
    return SceneStyle(**dict(dict(num_frames=5, size=(96, 128), kinds=KINDS), **changes))


def scenes(count: int = 200, **changes) -> list:
    return [sample_scene(style(**changes), np.random.default_rng([7, i])) for i in range(count)]


def test_shapes_and_ranges():
    for scene in scenes(50):
        count = len(scene.kinds)
        assert 2 <= count <= 4
        assert len(set(scene.kinds)) == count
        assert scene.offscreen_kind not in scene.kinds
        assert scene.centres.shape == (5, count, 2)
        assert scene.angles.shape == scene.sounding.shape == (5, count)
        assert scene.offscreen.shape == (5, )
        assert (scene.radius >= 0.11 * 96).all()
        assert (scene.radius <= 0.18 * 96).all()
        # Centres stay inside by most of a radius.
        low, high = 0.9 * scene.radius[:, None], np.array([128, 96]) - 0.9 * scene.radius[:, None]
        assert (scene.centres >= low - 1e-6).all()
        assert (scene.centres <= high + 1e-6).all()


def test_shapes_move_and_partly_overlap_at_most():
    overlapping = 0
    for scene in scenes(100):
        steps = np.linalg.norm(np.diff(scene.centres, axis=0), axis=-1)
        assert steps.max() > 0.5
        distance = np.linalg.norm(scene.centres[:, :, None] - scene.centres[:, None], axis=-1)
        share = distance / (scene.radius[:, None] + scene.radius)
        others = share[:, ~np.eye(len(scene.kinds), dtype=bool)]
        assert others.min() > 0.5
        overlapping += others.min() < 1
    assert overlapping > 30


def test_every_kind_appears_about_equally_often():
    counts = dict.fromkeys(KINDS, 0)
    for scene in scenes(400):
        for kind in scene.kinds:
            counts[kind] += 1
    assert min(counts.values()) > 0.8 * np.mean(list(counts.values()))


def test_single_source_sounds_throughout_and_alone():
    for scene in scenes(30, single_source=True):
        assert scene.sounding.sum(axis=1).tolist() == [1] * 5
        assert scene.sounding.all(axis=0).sum() == 1
        assert not scene.offscreen.any()


def test_the_schedule_has_everything_that_makes_sight_insufficient():
    sounding = [scene.sounding for scene in scenes(400)]
    offscreen = np.stack([scene.offscreen for scene in scenes(400)])
    sources = np.stack([flags.sum(axis=1) for flags in sounding])
    silent = (sources == 0) & ~offscreen
    only_offscreen = (sources == 0) & offscreen
    changes = np.mean([(flags[1:] != flags[:-1]).any(axis=1).mean() for flags in sounding])
    assert 0.04 < silent.mean() < 0.11
    assert 0.04 < only_offscreen.mean() < 0.11
    assert ((sources > 0) & offscreen).mean() > 0.02
    assert 0.15 < (sources == 2).mean() < 0.4
    assert sources.max() == 2
    assert 0.35 < changes < 0.6
    # Never all of the visible shapes.
    assert all((flags.sum(axis=1) < flags.shape[1]).all() for flags in sounding)


def test_sound_has_the_length_of_the_clip_and_never_clips():
    for scene in scenes(10):
        wave = scene_sound(scene, np.random.default_rng(0))
        assert wave.shape == (5 * 16000, )
        assert np.abs(wave).max() <= 0.99 + 1e-9
        assert np.abs(wave).min() < 0.1


def test_loud_mixtures_are_scaled_down_not_cut():
    scene = scenes(1, loudness=(0.0, 0.0), single_source=True)[0]
    wave = scene_sound(scene, np.random.default_rng(0))
    assert np.abs(wave).max() == pytest.approx(0.99)
    assert (np.abs(wave) > 0.989).sum() < 2000


def test_a_sounding_second_is_louder_than_a_silent_one():
    checked = 0
    for scene in scenes(60):
        heard = scene.sounding.any(axis=1) | scene.offscreen
        if heard.all() or not heard.any():
            continue
        seconds = scene_sound(scene, np.random.default_rng(1)).reshape(5, 16000)
        # The middle of each second, away from early ends.
        power = (seconds[:, 1000:9000]**2).mean(axis=1)
        assert power[heard].min() > 4 * power[~heard].max()
        checked += 1
    assert checked > 10


def test_the_same_seed_gives_the_same_scene():
    first, second = (sample_scene(style(), np.random.default_rng(3)) for _ in range(2))
    assert first.kinds == second.kinds
    assert np.array_equal(first.centres, second.centres)
    assert np.array_equal(first.sounding, second.sounding)


def test_ten_frames():
    assert scenes(1, num_frames=10)[0].sounding.shape[0] == 10
