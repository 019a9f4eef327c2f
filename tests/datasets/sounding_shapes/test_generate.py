import hashlib
import json
import multiprocessing

import numpy as np
import pytest

from mmavs.datasets.sounding_shapes import KINDS, Recipe, frame_jaccard, generate, make_clip, vision_only_J

SETTINGS = dict(image_size=64, workers=0, progress=False)


def recipe(subset: str = 'ms3', seed: int = 0, image_size: int = 64) -> Recipe:
    return Recipe(subset=subset, folder='', seed=seed, image_size=image_size, kinds=KINDS, num_shapes=(2, 4),
                  write_log_mel=False)


def interrupt(*arguments):
    raise KeyboardInterrupt


def digests(root) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob('*') if path.is_file()}


def test_frame_jaccard():
    target = np.zeros((4, 5), dtype=bool)
    target[0] = True
    prediction = np.zeros((4, 5), dtype=bool)
    prediction[:2] = True
    assert frame_jaccard(prediction, target) == 0.5
    # An empty target counts the pixels that are rightly left unmarked.
    assert frame_jaccard(prediction, np.zeros((4, 5), dtype=bool)) == 0.5
    assert frame_jaccard(np.zeros((4, 5), dtype=bool), np.zeros((4, 5), dtype=bool)) == 1.0
    assert frame_jaccard(np.zeros((4, 5), dtype=bool), target) == 0.0


@pytest.mark.parametrize(('subset', 'index', 'frames', 'label', 'size'), [
    ('s4', 0, 5, 'v1s', (64, 64)), ('ms3', 2, 5, 'v2', (64, 64)), ('avss', 0, 5, 'v1s', (64, 85)),
    ('avss', 1, 5, 'v1m', (64, 85)), ('avss', 2, 10, 'v2', (64, 85)), ('avss', 7, 10, 'v2', (64, 85))])
def test_clips_of_each_subset(subset, index, frames, label, size):
    clip = make_clip(recipe(subset), 'train', index)
    assert clip.frames.shape == (frames, *size, 3)
    assert clip.wave.shape == (frames * 16000, )
    assert clip.label == label
    assert clip.name == f'shapes-train-{index:05d}_1'
    single = subset == 's4' or (subset == 'avss' and label == 'v1s')
    if single:
        assert clip.sounding.all(axis=0).sum() == clip.sounding.any(axis=0).sum() == 1
    else:
        assert max(make_clip(recipe(subset), split, index).sounding.any(axis=0).sum() for split in ('val', 'test')) > 1


def test_a_clip_depends_on_seed_subset_split_and_number_alone():
    frames = {make_clip(recipe(subset, seed), split, index).frames[0].tobytes()
              for subset in ('s4', 'ms3') for seed in (0, 1) for split in ('train', 'val') for index in (0, 1)}
    assert len(frames) == 16
    assert np.array_equal(make_clip(recipe(), 'val', 3).wave, make_clip(recipe(), 'val', 3).wave)


def test_sight_alone_does_not_tell_who_sounds():
    """The best that sight can do, marking every shape, is far from right, and so is marking nothing."""
    for subset in ('s4', 'ms3'):
        every, nothing = [], []
        for index in range(30):
            clip = make_clip(recipe(subset), 'test', index)
            for visible, mask in zip(clip.visible, clip.masks(), strict=True):
                every.append(frame_jaccard(visible > 0, mask))
                nothing.append(frame_jaccard(visible > 255, mask))
        assert 0.28 < np.mean(every) < 0.55
        assert np.mean(nothing) < 0.25


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='needs fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_workers_change_nothing(tmp_path):
    clips = dict(train=3, test=2)
    alone = generate(tmp_path / 'a', 'ms3', clips=clips, **SETTINGS)
    together = generate(tmp_path / 'b', 'ms3', clips=clips, **dict(SETTINGS, workers=2))
    assert alone == together
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')


def test_more_clips_keep_those_that_were_there(tmp_path):
    generate(tmp_path / 'a', 'ms3', clips=dict(test=1), **SETTINGS)
    generate(tmp_path / 'b', 'ms3', clips=dict(train=1, test=2), **SETTINGS)
    first = {name: value for name, value in digests(tmp_path / 'a').items() if name.endswith(('.png', '.wav'))}
    assert len(first) == 11
    assert first.items() <= digests(tmp_path / 'b').items()


def test_the_summary_holds_the_line_to_beat(tmp_path):
    summary = generate(tmp_path, 's4', clips=dict(val=2, test=3), **SETTINGS)
    stored = json.loads((tmp_path / 'Single-source/sounding_shapes.json').read_text())
    assert stored == summary
    scores = [frame_jaccard(visible > 0, mask) for index in range(3)
              for visible, mask in zip(make_clip(recipe('s4'), 'test', index).visible,
                                       make_clip(recipe('s4'), 'test', index).masks(), strict=True)]
    assert summary['vision_only_J']['test'] == pytest.approx(100 * np.mean(scores))
    assert vision_only_J(tmp_path, 's4') == summary['vision_only_J']
    assert set(summary['vision_only_J']) == {'val', 'test'}


def test_a_second_run_with_the_same_arguments_writes_nothing(tmp_path):
    generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == before
    generate(tmp_path, 'ms3', clips=dict(test=1), **dict(SETTINGS, seed=1))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} != before


def test_an_interrupted_run_is_done_again(tmp_path):
    generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
    path = tmp_path / 'Multi-sources/sounding_shapes.json'
    summary = json.loads(path.read_text())
    whole = digests(tmp_path)
    for text in (json.dumps(dict(summary, complete=False)), '{"cut'):
        path.write_text(text)
        (tmp_path / 'Multi-sources/ms3_meta_data.csv').unlink()
        with pytest.raises(FileNotFoundError, match='does not describe a complete data set'):
            vision_only_J(tmp_path, 'ms3')
        generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
        assert digests(tmp_path) == whole


def test_a_first_run_that_is_interrupted_can_be_repeated(tmp_path, monkeypatch):
    (tmp_path / 'Multi-sources').mkdir()     # an empty folder is nobody's data set
    monkeypatch.setitem(generate.__globals__, 'write_table', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
    monkeypatch.undo()
    assert len(generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)['vision_only_J']) == 1


def test_a_real_data_set_is_never_overwritten(tmp_path):
    (tmp_path / 'Multi-sources').mkdir()
    (tmp_path / 'Multi-sources/ms3_meta_data.csv').write_text('video_id,split\n')
    with pytest.raises(FileExistsError, match='Multi-sources holds files that SoundingShapes did not write'):
        generate(tmp_path, 'ms3', clips=dict(test=1), **SETTINGS)
    assert (tmp_path / 'Multi-sources/ms3_meta_data.csv').read_text() == 'video_id,split\n'


def test_fewer_kinds(tmp_path):
    clip = make_clip(Recipe('ms3', '', 0, 64, ('circle', 'star', 'ring'), (2, 2), False), 'train', 0)
    assert set(clip.kinds) < {'circle', 'star', 'ring'}
    assert len(clip.kinds) == 2


def test_vision_only_needs_a_complete_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'sounding_shapes\.json does not describe .* --subset avss'):
        vision_only_J(tmp_path, 'avss')
    with pytest.raises(ValueError, match="unknown subset 'v3'"):
        vision_only_J(tmp_path, 'v3')


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(subset='v3'), r"unknown subset 'v3'; use one of \['s4', 'ms3', 'avss'\]"),
    (dict(clips=dict(validation=1)), 'clips must map some of'), (dict(clips={}), 'clips must map some of'),
    (dict(clips=dict(train=0)), 'at least one clip'), (dict(clips=dict(train=-1, test=2)), 'numbers from 0 up'),
    (dict(seed=-1), 'seed and workers must be 0 or more, got seed=-1'), (dict(workers=-1), 'workers=-1'),
    (dict(image_size=32), 'image_size must be at least 64 pixels, got 32'),
    (dict(kinds=('circle', 'blob')), 'kinds must be different names'),
    (dict(kinds=('circle', 'circle')), 'kinds must be different names'),
    (dict(num_shapes=(2, 8)), r'num_shapes=\(2, 8\)'), (dict(num_shapes=(3, 2)), r'num_shapes=\(3, 2\)'),
    (dict(num_shapes=(0, 2)), r'num_shapes=\(0, 2\)')])
def test_arguments_are_checked_before_anything_is_written(tmp_path, changes, message):
    settings = dict(dict(subset='ms3', clips=dict(test=1)), **SETTINGS)
    with pytest.raises(ValueError, match=message):
        generate(tmp_path, **dict(settings, **changes))
    assert list(tmp_path.iterdir()) == []
