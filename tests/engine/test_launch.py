"""Reading configs and starting processes."""

import pytest
import torch
from mmengine.config import Config

from mmavs.engine.launch import load_config, prepare_distributed, use_mixed_precision


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
def test_mixed_precision_on_cpu_is_bfloat16_autocast():
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
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


def test_single_process_needs_no_model_wrapper():
    cfg = Config(dict(launcher='none'))
    prepare_distributed(cfg)
    assert 'model_wrapper_cfg' not in cfg
