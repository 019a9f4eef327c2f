import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.sounding_shapes import generate
from tests.tools.loading import load_tool

tool = load_tool('dataset_tools/verify_avsbench.py')


@pytest.fixture
def root(tmp_path) -> Path:
    for subset in ('s4', 'ms3'):
        generate(tmp_path, subset, clips=dict(train=2, val=1, test=1), image_size=64, workers=0, progress=False)
    return tmp_path


def test_generated_data_passes_where_other_counts_are_allowed(root, capsys):
    assert tool.main([str(root), '--no-expect-published']) == 0
    printed = capsys.readouterr()
    assert '0 errors, 0 warnings, 7 notes in s4, ms3.' in printed.out
    assert '  train 2 clips (published 3452), 10 frames, 2 labelled, 0 of these silent' in printed.out
    assert '        sounds: 5.00 to 5.00 s' in printed.out
    assert '4/4' in printed.err, 'a progress bar'


def test_other_counts_than_the_published_are_errors_by_default(root, capsys):
    assert tool.main([str(root), '--subset', 'ms3']) == 1
    printed = capsys.readouterr().out
    assert 'ERROR number of clips: 3\n    train has 2 clips, published are 296.' in printed
    assert printed.splitlines()[-1] == '3 errors, 4 warnings, 0 notes in ms3.'


def test_damage_is_an_error_with_examples_and_all_of_it_in_the_file(root, tmp_path, capsys):
    frames = sorted((root / 'Multi-sources/ms3_data/visual_frames/shapes-test-00000_1').iterdir())
    for path in frames:
        path.write_bytes(path.read_bytes()[:100])
    out = tmp_path / 'findings.json'
    assert tool.main([str(root / 'Multi-sources'), '--no-expect-published', '--examples', '2', '--out', str(out)]) == 1
    printed = capsys.readouterr().out
    assert 'ERROR broken frame: 5\n' in printed
    assert f"    Clip 'shapes-test-00000_1' (test): {frames[1]} is damaged or no picture" in printed
    assert '    and 3 more\n' in printed
    (report, ) = json.loads(out.read_text())
    assert [finding['kind'] for finding in report['findings'] if finding['level'] == 'error'] == ['broken frame'] * 5
    assert report['splits']['test']['frames'] == 0


def test_masks_that_are_none_are_errors(root, capsys):
    masks = sorted((root / 'Multi-sources/ms3_data/gt_masks/test').rglob('*.png'))
    for path, values in zip(masks, [(0, 100), (0, 2), (1, 255)], strict=False):
        Image.fromarray(np.array([values] * 32, dtype=np.uint8).repeat(32, axis=1).repeat(2, axis=0)).save(path)
    assert tool.main([str(root), '--subset', 'ms3', '--no-expect-published']) == 1
    printed = capsys.readouterr().out
    assert 'ERROR broken mask: 3\n' in printed
    assert f'{masks[0]} (mode L) holds the values 100 beside 0; a binary mask holds 0 and 1, or 0 and 255' in printed


def test_a_table_without_clips_is_an_error(root, capsys):
    (root / 'Multi-sources/ms3_meta_data.csv').write_text('video_id,split\n')
    assert tool.main([str(root), '--subset', 'ms3', '--no-expect-published']) == 1
    assert 'ERROR empty table: 1\n    the table in' in capsys.readouterr().out


def test_long_lists_of_values_are_shortened():
    assert tool._shortened({f'{size}x1': 9 - size for size in range(6)}) == (
        '0x1 (9), 1x1 (8), 2x1 (7), 3x1 (6) and 2 more')


@pytest.mark.parametrize(('arguments', 'error', 'message'), [
    (['{empty}'], FileNotFoundError, 'holds none of Single-source, Multi-sources, AVSBench-semantic with its table'),
    (['{root}', '--subset', 'avss'], FileNotFoundError, "subset 'avss' is not there"),
    (['{root}', '--workers', '0'], ValueError, '--workers 0 must be at least 1')])
def test_bad_input(root, tmp_path, arguments, error, message):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(error, match=message):
        tool.main([argument.format(root=root, empty=tmp_path / 'empty') for argument in arguments])
