"""tools/test.py shows the scores without clips whose source video is in train."""

import json

import pytest

from .micro import generate_data, random_checkpoint, run_tool, write_config


def test_scores_without_leaked_clips(tmp_path):
    root = generate_data(tmp_path / 'data', train=1, val=1, test=3)
    table = root / 'Multi-sources/ms3_meta_data.csv'
    rows = table.read_text().splitlines()
    config = write_config(tmp_path)
    weights = random_checkpoint(config, tmp_path / 'weights.pth')
    arguments = ['test.py', config, weights, '--work-dir', tmp_path / 'work']
    without = run_tool(*arguments, '--out', tmp_path / 'without.json', data_root=root)
    # A training clip of the same source video as the second test clip; its files are not needed.
    table.write_text('\n'.join([*rows, 'shapes-test-00001_5,train']))
    found = run_tool(*arguments, '--out', tmp_path / 'found.json', data_root=root)
    assert found.returncode == 0, found.stderr[-2000:]
    report, plain = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('found', 'without'))
    assert plain['leak_free'] is None
    assert 'are in train' not in without.stdout
    assert report['metrics'] == plain['metrics']
    assert report['leak_free']['leaked'] == ['shapes-test-00001_1']
    others = [clip['J'] for clip in report['clips'] if clip['video_id'] != 'shapes-test-00001_1']
    assert report['leak_free']['metrics']['avs/J'] == pytest.approx(sum(others) / 2, abs=1e-9)
    assert '1 of 3 clips are cut from source videos that are in train, too; without them 2 clips:' in found.stdout
