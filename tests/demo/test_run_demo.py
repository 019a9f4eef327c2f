"""The demo's frame: its steps, its bars, its last line. The steps themselves are tested as tools."""

import importlib.util
import json
import math
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo():
    spec = importlib.util.spec_from_file_location('run_demo', ROOT / 'demo' / 'run_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(('j', 'exchanged', 'code'), [
    (50.0, 39.99, 0), (65.0, 30.0, 0), (49.99, 30.0, 1), (65.0, 40.0, 1), (math.nan, 30.0, 1), (65.0, math.nan, 1)])
def test_bars(demo, capsys, j, exchanged, code):
    assert demo.report_result(j, 70.125, 40.0, exchanged) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in lines[:2]] == [
        'pass' if j >= 50 else 'FAIL', 'pass' if exchanged < 40 else 'FAIL']
    assert len(lines) == 3 + code
    assert lines[-1] == f'RESULT J={j:.2f} F=70.12 vision_only_J=40.00 exchanged_sound_J={exchanged:.2f}'


def stand_in(out, calls, scores):
    """Takes the place of ``run_step``: notes the command and leaves the files that the tool would."""
    def run_step(title, command, data_root):
        calls.append(command)
        tool = Path(command[0]).name
        if tool == 'make_sounding_shapes.py':
            (data_root / 'Multi-sources').mkdir(parents=True)
            (data_root / 'Multi-sources' / 'sounding_shapes.json').write_text(
                json.dumps({'vision_only_J': {'val': 1.0, 'test': 45.5}}))
        elif tool == 'train.py':
            (out / 'train').mkdir()
            for age, name in ((20, 'best_avs_J_epoch_2.pth'), (10, 'best_avs_J_epoch_4.pth'), (0, 'epoch_5.pth')):
                (out / 'train' / name).touch()
                os.utime(out / 'train' / name, (1e9 - age, 1e9 - age))
        elif tool == 'test.py':
            target = Path(command[command.index('--out') + 1])
            target.write_text(json.dumps({'metrics': scores[target.stem]}))
            if '--show-dir' in command:
                (out / 'pictures').mkdir()
                (out / 'pictures' / 'clip_a.png').touch()
    return run_step


@pytest.mark.parametrize(('j', 'code'), [(60.0, 0), (50.0, 1)])
def test_steps_and_last_line(demo, monkeypatch, capsys, tmp_path, j, code):
    calls = []
    scores = {'results': {'avs/J': j, 'avs/F': 71.0}, 'results_exchanged': {'avs/J': 33.0, 'avs/F': 1.0}}
    monkeypatch.setattr(demo, 'run_step', stand_in(tmp_path, calls, scores))
    assert demo.main(['--out', str(tmp_path), '--clips', '3', '2', '1', '--epochs', '4', '--seed', '7']) == code
    assert capsys.readouterr().out.splitlines()[-1] == (
        f'RESULT J={j:.2f} F=71.00 vision_only_J=45.50 exchanged_sound_J=33.00')
    generate, pretrain, train, test, exchanged = calls
    assert generate[-6:] == ['--clips', 'train=3', 'val=2', 'test=1', '--seed', '7']
    assert pretrain[2] == str(tmp_path / 'backbone.pth')
    assert f'model.backbone.init_cfg.checkpoint={tmp_path / "backbone.pth"}' in train
    assert train[-1] == 'train_cfg.max_epochs=4'
    # The newest of the best, not the newest of all.
    assert test[2] == exchanged[2] == str(tmp_path / 'train' / 'best_avs_J_epoch_4.pth')
    assert 'test_dataloader.dataset.sound_of=other_clip' in exchanged
    assert 'test_dataloader.dataset.sound_of=other_clip' not in test


def test_a_failed_step_ends_the_demo_with_its_code(demo, capfd, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        demo.run_step('Look around', ['-c', 'import os, sys; print(os.environ["MMAVS_DATA_ROOT"]); sys.exit(3)'],
                      tmp_path)
    assert stopped.value.code == 3
    printed = capfd.readouterr()
    assert str(tmp_path) in printed.out.splitlines()
    assert printed.err == '"Look around" failed with exit code 3.\n'


def test_no_checkpoint_is_said(demo, tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    with pytest.raises(FileNotFoundError, match=f'No best.*.pth in {tmp_path}: training wrote no validated checkpoint'):
        demo.newest_best(tmp_path)
