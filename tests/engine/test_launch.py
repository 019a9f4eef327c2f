"""Reading configs and starting processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmavs.datasets import ClipDataError
from mmavs.engine.launch import (
    build_runner,
    is_user_error,
    load_config,
    prepare_distributed,
    run_main,
    use_mixed_precision,
)
from mmavs.engine.runner import AVSRunner
from mmavs.ops import cross_selective_scan, selective_scan
from mmavs.registry import MODELS
from tests.engine.toy import toy_config


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / 'small.py'
    path.write_text("optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))\n")
    return path


def test_load_config_applies_the_command_line(config_file, tmp_path):
    cfg = load_config(str(config_file), {'optim_wrapper.optimizer.lr': 0.5}, str(tmp_path / 'runs'), 'none')
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.work_dir == str(tmp_path / 'runs')
    assert cfg.launcher == 'none'


def test_work_dir_defaults_to_the_config_name(config_file):
    assert load_config(str(config_file), None, None, 'none').work_dir == 'work_dirs/small'


def test_work_dir_of_the_file_is_kept(config_file):
    config_file.write_text(config_file.read_text() + "work_dir = 'elsewhere'\n")
    assert load_config(str(config_file), None, None, 'none').work_dir == 'elsewhere'


def test_missing_config_names_the_path():
    with pytest.raises(FileNotFoundError, match=r'No config file nothing.py. The configs .* configs/avs_mamba'):
        load_config('nothing.py', None, None, 'none')


@pytest.mark.skipif(torch.cuda.is_available(), reason='describes a machine without a GPU')
@pytest.mark.parametrize('kind', ['OptimWrapper', 'mmengine.optim.OptimWrapper', OptimWrapper])
def test_mixed_precision_on_cpu_is_bfloat16_autocast(kind):
    cfg = Config(dict(optim_wrapper=dict(type=kind)))
    use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == 'mmavs.AutocastOptimWrapper'


def test_mixed_precision_keeps_a_wrapper_that_has_it():
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=8.0)))
    use_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale=8.0)


def test_mixed_precision_refuses_other_wrappers():
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(ValueError, match='the config has "ApexOptimWrapper"'):
        use_mixed_precision(cfg)


def test_the_runner_is_ours_unless_the_config_names_another(tmp_path):
    assert type(build_runner(toy_config(tmp_path))) is AVSRunner
    assert type(build_runner(toy_config(tmp_path, runner_type='Runner'))) is Runner
    # As the tools of other mm packages would build it.
    assert type(RUNNERS.build(toy_config(tmp_path, runner_type='mmavs.AVSRunner'))) is AVSRunner


def test_single_process_needs_no_model_wrapper():
    cfg = Config(dict(launcher='none'))
    prepare_distributed(cfg)
    assert 'model_wrapper_cfg' not in cfg


@pytest.mark.parametrize(('launcher', 'variable', 'starter'), [
    ('pytorch', 'RANK', 'torchrun'), ('slurm', 'SLURM_PROCID', 'srun'),
    ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun')])
def test_a_launcher_that_did_not_start_the_process(launcher, variable, starter, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=rf'--launcher {launcher}, .* \({variable} is not set\): .* {starter}'):
        prepare_distributed(Config(dict(launcher=launcher)))


def raises(error: Exception) -> None:
    raise error


def wrong_type() -> None:
    MODELS.build(dict(type='mmavs.NoSuchThing'))


def wrong_argument() -> None:
    MODELS.build(dict(type='mmseg.CrossEntropyLoss', weight=1))


def pretrained_twice() -> None:
    # mmseg asserts.
    MODELS.build(dict(type='mmseg.ResNet', depth=18, pretrained='a.pth', init_cfg=dict(type='Normal', layer='Conv2d')))


def missing_file() -> None:
    Path('/nowhere/at/all').read_text()


@pytest.mark.parametrize(('action', 'sentence'), [
    (lambda: raises(ClipDataError('Clip a is gone.')), 'error: Clip a is gone.'),
    (lambda: load_config('nothing.py', None, None, 'none'), 'error: No config file nothing.py. The configs of'),
    (lambda: use_mixed_precision(Config(dict(optim_wrapper=dict(type='X')))), 'error: --amp replaces'),
    (wrong_type, 'error: mmavs.NoSuchThing is not in the'),
    (wrong_argument, "error: CrossEntropyLoss.__init__() got an unexpected keyword argument 'weight'"),
    (pretrained_twice, 'error: init_cfg and pretrained cannot be '),
    (missing_file, 'error: /nowhere/at/all: No such file or directory.')])
def test_a_mistake_of_the_user_is_one_line(action, sentence, capsys, monkeypatch):
    monkeypatch.delenv('MMAVS_TRACEBACK', raising=False)
    assert run_main(action) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(sentence)
    assert printed.count('\n') == 1


def test_the_traceback_is_there_on_request(capsys, monkeypatch):
    monkeypatch.setenv('MMAVS_TRACEBACK', '1')
    assert run_main(wrong_type) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == 'Traceback (most recent call last):'
    assert lines[-1].startswith('error: mmavs.NoSuchThing')


@pytest.mark.parametrize('bug', [
    lambda: {}['key'], lambda: torch.zeros(2) + torch.zeros(3), lambda: int('x'), lambda: raises(ValueError('foreign')),
    # Inside this package, but by no raise statement of it.
    lambda: selective_scan(None, None, None, None, None), lambda: cross_selective_scan(*[1] * 6, index=0),
    lambda: raises(AssertionError())])
def test_bugs_keep_their_traceback(bug):
    with pytest.raises((KeyError, RuntimeError, ValueError, AttributeError, AssertionError, TypeError)):
        run_main(bug)


def test_exit_codes_pass_through():
    assert run_main(lambda: 0) == 0
    assert run_main(lambda: 7) == 7
    with pytest.raises(SystemExit):
        run_main(lambda: raises(SystemExit(3)))
    assert not is_user_error(KeyboardInterrupt())


@pytest.mark.parametrize('end', ['lambda: 0', 'lambda: sys.exit(75)'])
def test_a_distributed_run_ends_without_the_interpreters_end(end, tmp_path):
    code = f"""if True:
        import atexit, sys, torch.distributed as dist
        from mmavs.engine.launch import run_main
        dist.init_process_group('gloo', init_method='file://{tmp_path}/meet', rank=0, world_size=1)
        atexit.register(print, 'cleaned up')
        run_main({end})
        print('still there')"""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (75 if '75' in end else 0, 'cleaned up')
