"""Options of the command line that would be ignored are refused, with the keys that work."""

import re

import pytest
from mmengine.config import Config

from mmavs.engine.launch import load_config
from mmavs.utils.config_check import ConfigMistakeError, check_options
from tests.tools.micro import ROOT

CONFIG = ROOT / 'configs/avs_mamba/pvt_ms3.py'
VARIABLES = {  # name: a value to set, and the entries that the message must name.
    'input_size': ((224, 224), ['train_dataloader.dataset.pipeline.4.scale', 'val_dataloader.dataset.pipeline.1.scale',
                                'test_dataloader.dataset.pipeline.1.scale']),
    'with_cp': (False, ['model.backbone.with_cp', 'model.neck.with_cp', 'model.decode_head.with_cp',
                        'model.decode_head.pixel_decoder.with_cp']),
    'batch_size': (7, ['train_dataloader.batch_size']),
    'data_root': ('elsewhere', ['train_dataloader.dataset.data_root', 'test_dataloader.dataset.data_root']),
    'backbone_weights': ('b.pth', ['model.backbone.init_cfg.checkpoint']),
    'vggish_weights': ('v.pth', ['model.audio_backbone.init_cfg.checkpoint']),
    'train_pipeline.4.scale': ((224, 224), ['train_dataloader.dataset.pipeline']),
    'data_preprocessor.bgr_to_rgb': (False, ['model.data_preprocessor']),
}


@pytest.mark.parametrize('key', VARIABLES)
def test_a_variable_is_refused_and_the_keys_that_work_are_named(key):
    value, places = VARIABLES[key]
    with pytest.raises(ConfigMistakeError, match=rf'--cfg-options {re.escape(key)}: .* set .* instead\.$') as caught:
        load_config(str(CONFIG), {key: value}, None, 'none')
    named = re.search('; set (.*) instead', str(caught.value)).group(1).split(', ')
    assert set(places) <= set(named)
    cfg = Config.fromfile(CONFIG)
    if '.' not in key:
        cfg.merge_from_dict(dict.fromkeys(named, value))
        assert [_read(cfg, place) for place in named] == [value] * len(named)


def _read(cfg: Config, path: str):
    node = cfg
    for part in path.split('.'):
        node = node[int(part)] if isinstance(node, list | tuple) else node[part]
    return node


def test_an_entry_that_nothing_knows():
    with pytest.raises(ConfigMistakeError, match=r"no entry 'trian_cfg' \(did you mean train_cfg\?\)"):
        check_options(Config.fromfile(CONFIG), {'trian_cfg.max_epochs': 3})


@pytest.mark.parametrize('key', [
    'train_cfg.max_epochs', 'model.neck.num_orders', 'train_dataloader.batch_size', 'randomness.seed', 'load_from',
    'custom_hooks.0.end_epoch', 'model_wrapper_cfg.type', 'sync_bn', 'compile.mode', 'work_dir',
    'env_cfg.cudnn_benchmark'])
def test_what_a_run_reads_may_be_set(key):
    check_options(Config.fromfile(CONFIG), {key: 1})


def test_a_variable_that_went_nowhere_is_left_alone():
    check_options(Config(dict(model=dict(depth=3), note='mine', train_cfg=dict(max_epochs=1))), {'note': 'yours'})


def test_the_preprocessor_of_a_model_without_one_is_read():
    check_options(Config(dict(model=dict(type='x'), data_preprocessor=dict(mean=0))), {'data_preprocessor.mean': 1})


def test_long_lists_of_places_are_shortened():
    cfg = Config(dict(width=3, model={f'part{i}': dict(width=3) for i in range(12)}))
    with pytest.raises(ConfigMistakeError, match=r'set model\.part0\.width, .* and 4 more instead'):
        check_options(cfg, {'width': 4})
