import json

import pytest
import torch

from mmavs.datasets.sounding_shapes import generate

from .micro import generate_data, load_tool, random_checkpoint, run_tool, write_config

tool = load_tool('analysis_tools/eval_audio_robustness.py')
KEPT = ['own', 'noise added, 20 dB', 'noise added, -10 dB']
FOREIGN = ['noise alone', 'silence', 'another clip']


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Config, checkpoint and data of two test clips of MS3 and three of S4."""
    root = generate_data(tmp_path / 'data', train=1, val=1, test=2)
    generate(root, 's4', clips=dict(test=3), seed=3, image_size=64, workers=0)
    monkeypatch.setenv('MMAVS_DATA_ROOT', str(root))
    config = write_config(tmp_path)
    return str(config), str(random_checkpoint(config, tmp_path / 'weights.pth'))


def test_every_condition_with_the_numbers_of_the_test_tool(prepared, tmp_path, capsys):
    out = tmp_path / 'robustness.json'
    assert tool.main([*prepared, '--snr', '20', '-10', '--out', str(out), '--device', 'cpu']) == 0
    report = json.loads(out.read_text())
    rows = {row['name']: row for row in report['conditions']}
    assert list(rows) == [*KEPT, *FOREIGN]
    assert [rows[name]['truth'] for name in rows] == ['masks'] * 3 + ['empty'] * 3
    # Convolutions round differently with another number of threads.
    done = run_tool('test.py', *prepared, '--out', tmp_path / 'own.json', '--work-dir', tmp_path / 'work',
                    data_root=tmp_path / 'data', OMP_NUM_THREADS=str(torch.get_num_threads()))
    assert done.returncode == 0, done.stderr[-2000:]
    expected = json.loads((tmp_path / 'own.json').read_text())['metrics']
    assert {name: rows['own']['metrics'][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert len({row['metrics']['avs/F'] for row in rows.values()}) == 6, 'every sound gives another prediction'
    for name, row in rows.items():
        scores = row['metrics']
        assert 0 <= scores['fp/area'] <= scores['fp/predicted'] <= 100
        if name in FOREIGN:
            assert scores['fp/area'] == scores['fp/predicted']
        loss, low, high = row['loss']
        assert loss == rows['own']['metrics']['avs/J'] - scores['avs/J']
        assert low <= loss <= high
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith(tuple(rows))]
    assert len(table) == 6
    assert table[0].split()[1] == f'{rows["own"]["metrics"]["avs/J"]:.2f}'
    assert f'{rows["silence"]["metrics"]["fp/area"]:.2f}' in table[4]


def test_categories_of_s4(prepared, tmp_path):
    out = tmp_path / 'robustness.json'
    tool.main([*prepared, '--snr', '--out', str(out), '--cfg-options', 'test_dataloader.dataset.subset=s4'])
    names = [row['name'] for row in json.loads(out.read_text())['conditions']]
    assert names == ['own', *FOREIGN, 'another category']


@pytest.mark.parametrize(('subset', 'last'), [('s4', 'another category'), ('avss', 'another category'),
                                              ('ms3', 'another clip')])
def test_sounds_of_other_categories_where_something_says_what_sounds(subset, last):
    chosen = tool.conditions(subset, [], 0)
    assert (chosen[-1].name, chosen[-1].sound_of) == (last, last.replace(' ', '_').replace('another', 'other'))
    assert chosen[-1].truth == 'empty'


def test_noise_is_seeded_and_conditions_do_not_disturb_each_other(prepared, tmp_path):
    values = []
    for snrs, seed in (['0'], '0'), (['20', '0'], '0'), (['0'], '1'):
        out = tmp_path / f'{len(values)}.json'
        tool.main([*prepared, '--snr', *snrs, '--seed', seed, '--out', str(out)])
        rows = {row['name']: row['metrics'] for row in json.loads(out.read_text())['conditions']}
        values.append((rows['noise added, 0 dB'], rows['noise alone'], rows['another clip']))
    assert values[0] == values[1]
    assert values[0][0] != values[2][0]
    assert values[0][2] == values[2][2]


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--cfg-options', 'test_dataloader.dataset.type=mmseg.ADE20KDataset'], "must be an 'mmavs.AVSBenchDataset'"),
    (['--device', 'cuda:7'], '--device cuda:7: this PyTorch sees no GPU')])
def test_bad_input(prepared, arguments, message, monkeypatch):
    monkeypatch.setattr(tool.torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        tool.main([*prepared, *arguments])


def test_missing_checkpoint(prepared):
    with pytest.raises(FileNotFoundError, match=r'No checkpoint lost\.pth'):
        tool.main([prepared[0], 'lost.pth'])
