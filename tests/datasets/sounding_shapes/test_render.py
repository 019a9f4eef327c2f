import numpy as np

from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.kinds import draw_shape
from mmavs.datasets.sounding_shapes.render import render_scene
from mmavs.datasets.sounding_shapes.scene import SceneStyle, sample_scene

SIZE = (72, 96)


def rendered(seed: int):
    rng = np.random.default_rng(seed)
    scene = sample_scene(SceneStyle(num_frames=5, size=SIZE, kinds=KINDS), rng)
    return scene, *render_scene(scene, rng)


def test_shapes_and_types():
    scene, frames, visible = rendered(0)
    assert (frames.shape, frames.dtype) == ((5, *SIZE, 3), np.uint8)
    assert (visible.shape, visible.dtype) == ((5, *SIZE), np.uint8)
    assert set(np.unique(visible)) == set(range(len(scene.kinds) + 1))


def test_the_shape_in_front_hides_those_behind():
    hidden = 0
    for seed in range(20):
        scene, _, visible = rendered(seed)
        for k in range(5):
            expected = np.zeros(SIZE, dtype=np.uint8)
            for s, kind in enumerate(scene.kinds):
                inside = draw_shape(kind, tuple(scene.centres[k, s]), scene.radius[s], scene.angles[k, s], SIZE) >= 128
                hidden += int((inside & (expected > 0)).sum())
                expected[inside] = s + 1
            assert np.array_equal(visible[k], expected)
    assert hidden > 100


def test_every_shape_keeps_a_good_part_of_its_area():
    for seed in range(40):
        scene, _, visible = rendered(seed)
        for s, kind in enumerate(scene.kinds):
            whole = draw_shape(kind, (48, 36), scene.radius[s], 0.0, SIZE) >= 128
            assert (visible == s + 1).sum(axis=(1, 2)).min() > 0.3 * whole.sum()


def test_shapes_stand_out_from_the_background():
    contrasts = []
    for seed in range(20):
        scene, frames, visible = rendered(seed)
        background = frames[0][visible[0] == 0].mean(axis=0)
        contrasts += [np.linalg.norm(frames[0][visible[0] == s + 1].mean(axis=0) - background)
                      for s in range(len(scene.kinds))]
    assert np.median(contrasts) > 80
    assert min(contrasts) > 20


def test_colour_says_nothing_about_the_kind():
    colours = {kind: [] for kind in KINDS}
    for seed in range(60):
        scene, frames, visible = rendered(seed)
        for s, kind in enumerate(scene.kinds):
            colours[kind].append(frames[0][visible[0] == s + 1].mean(axis=0))
    within = np.mean([np.std(values, axis=0) for values in colours.values()])
    between = np.std([np.mean(values, axis=0) for values in colours.values()], axis=0).mean()
    assert between < 0.45 * within


def test_the_background_is_textured_and_stands_still():
    _, frames, visible = rendered(1)
    empty = (visible == 0).all(axis=0)
    assert frames[0][empty].std(axis=0).mean() > 5
    first, last = (frames[k][empty].astype(float) for k in (0, 4))
    assert np.corrcoef(first.ravel(), last.ravel())[0, 1] > 0.9
    assert not np.array_equal(first, last)


def test_the_same_seed_gives_the_same_pixels():
    assert np.array_equal(rendered(3)[1], rendered(3)[1])
    assert not np.array_equal(rendered(3)[1], rendered(4)[1])
