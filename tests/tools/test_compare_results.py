import json

import numpy as np
import pytest

from .loading import load_tool

compare_results = load_tool('analysis_tools/compare_results.py')


def write(path, clips, **changes):
    content = dict(preset='avsbench', settings=dict(eval_size=None), metrics={'avs/J': 1.0}, clips=clips)
    path.write_text(json.dumps(content | changes), encoding='utf-8')
    return str(path)


def clips_of(values):
    return [dict(video_id=name, category=None, J=j, F=f, num_frames=5) for name, (j, f) in values.items()]


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    first = {f'clip{i}': tuple(rng.uniform(20, 80, size=2)) for i in range(30)}
    second = {name: (j + 3, f + (5 if i % 2 else -5)) for i, (name, (j, f)) in enumerate(first.items())}
    second['clip7'] = (first['clip7'][0] - 40, first['clip7'][1])
    # The order and the clips of the files may differ.
    second = dict(reversed(second.items())) | {'new': (1.0, 1.0)}
    del second['clip0']
    return write(tmp_path / 'a.json', clips_of(first)), write(tmp_path / 'b.json', clips_of(second)), first


def test_paired_difference_is_printed(files, capsys):
    a, b, first = files
    assert compare_results.main([a, b, '--worst', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == 'preset avsbench; 29 common clips, 1 only in A, 1 only in B'
    mean_a = np.mean([j for name, (j, _) in first.items() if name != 'clip0'])
    difference = (28 * 3 - 40) / 29
    assert lines[4].startswith(f'J: A {mean_a:.2f}, B {mean_a + difference:.2f}, B - A {difference:+.2f} (95 % ')
    assert lines[4].endswith('no clear difference')
    assert lines[5].startswith('F: ')
    assert lines[-1].split() == ['-40.00', 'clip7']
    assert lines[-2] == 'most changed in J:'


def test_clear_differences_are_named(tmp_path):
    a = write(tmp_path / 'a.json', clips_of({'x': (10, 20), 'y': (20, 90)}))
    b = write(tmp_path / 'b.json', clips_of({'y': (24, 88), 'x': (12, 17)}))
    text = compare_results.compare(a, b)
    assert 'J: A 15.00, B 18.00, B - A +3.00 (95 % interval +2.00 to +4.00): B is better' in text
    assert 'F: A 55.00, B 52.50, B - A -2.50 (95 % interval -3.00 to -2.00): B is worse' in text
    same = compare_results.compare(a, a)
    assert 'B - A +0.00 (95 % interval +0.00 to +0.00): no clear difference' in same
    assert 'most changed' not in same


@pytest.mark.parametrize(('change', 'message'), [
    (dict(preset='combo'), r'has preset avsbench, but .*b\.json has combo: their numbers are not comparable'),
    (dict(settings=dict(eval_size=512)), r"has settings .*but .*b\.json has \{'eval_size': 512\}"),
    (dict(clips=clips_of({'other': (1, 1)})), 'have no clip in common'),
    (dict(clips=clips_of({'x': (1, 1)}) * 2), r'b\.json names a clip twice'),
    (dict(clips=[dict(video_id='x', J=1.0)]), r'b\.json is no result file of tools/test.py --out'),
])
def test_files_that_cannot_be_compared(tmp_path, change, message):
    a = write(tmp_path / 'a.json', clips_of({'x': (10, 20)}))
    b = write(tmp_path / 'b.json', **dict(clips=clips_of({'x': (10, 20)})) | change)
    with pytest.raises(ValueError, match=message):
        compare_results.compare(a, b)


def test_missing_and_broken_files(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        compare_results.main([str(tmp_path / 'none.json'), str(tmp_path / 'none.json')])
    assert stop.value.code == 2
    assert 'error: No result file' in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / 'broken.json').write_text('{"preset"', encoding='utf-8')
    with pytest.raises(ValueError, match=r'broken\.json is no result file'):
        compare_results.read_results(str(tmp_path / 'broken.json'))
