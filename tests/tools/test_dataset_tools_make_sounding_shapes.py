import importlib.util
from pathlib import Path

import pytest

from mmavs.datasets import AVSBenchDataset
from mmavs.datasets.sounding_shapes import vision_only_J

SCRIPT = Path(__file__).resolve().parents[2] / 'tools/dataset_tools/make_sounding_shapes.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('make_sounding_shapes', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(root, *more: str) -> list[str]:
    return [str(root), '--clips', 'train=2', 'test=1', '--image-size', '64', '--workers', '0', *more]


def test_it_writes_subsets_that_the_dataset_reads_and_prints_the_line_to_beat(tool, tmp_path, capsys):
    assert tool.main(arguments(tmp_path, '--subset', 's4', 'ms3')) == 0
    printed, progress = capsys.readouterr()
    for subset in ('s4', 'ms3'):
        scores = vision_only_J(tmp_path, subset)
        assert f'{subset} train: 2 clips, vision-only J {scores["train"]:.2f} % (mark every shape)' in printed
        assert f'{subset} test: 1 clips, vision-only J {scores["test"]:.2f} %' in printed
        assert len(AVSBenchDataset(subset=subset, split='train', data_root=str(tmp_path))) == 2
    assert '3/3' in progress
    assert not (tmp_path / 'AVSBench-semantic').exists()


def test_options_reach_the_generator(tool, tmp_path):
    more = ('--seed', '5', '--write-log-mel', '--kinds', 'circle', 'star', 'ring', 'heart', 'cross')
    assert tool.main(arguments(tmp_path, *more)) == 0
    assert len(list(tmp_path.rglob('*.pkl'))) == 3
    text = (tmp_path / 'Multi-sources/sounding_shapes.json').read_text()
    assert '"seed": 5' in text
    assert 'crescent' not in text


def test_an_error_is_one_sentence(tool, tmp_path, capsys):
    (tmp_path / 'Multi-sources').mkdir()
    (tmp_path / 'Multi-sources/real.csv').touch()
    assert tool.main(arguments(tmp_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert 'Multi-sources holds files that SoundingShapes did not write' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize('clips', ['train', 'train=', 'train=many', 'train=-1'])
def test_a_split_needs_a_number(tool, tmp_path, capsys, clips):
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), '--clips', clips])
    assert 'is not of the form SPLIT=NUMBER' in capsys.readouterr().err


def test_unknown_splits_are_named(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path), '--clips', 'validation=3']) == 1
    assert "clips must map some of ['train', 'val', 'test']" in capsys.readouterr().err
