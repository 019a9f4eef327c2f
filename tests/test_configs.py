"""Every config parses, builds and holds the paper's settings (section V-B)."""

import argparse
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from torch import nn

from mmavs.datasets.sounding_shapes import generate
from mmavs.engine.launch import load_config
from mmavs.registry import DATASETS, MODELS

FOLDER = Path(__file__).parent.parent / 'configs' / 'avs_mamba'
PAPER = {  # name: (input size, clips per batch, epochs, classes, frozen epochs)
    'pvt_s4': (512, 2, 60, 1, 20), 'pvt_ms3': (512, 2, 120, 1, 20), 'pvt_avss': (224, 6, 50, 71, 0),
    'pvt_s4_released': (512, 2, 60, 1, 20), 'pvt_ms3_released': (512, 2, 120, 1, 20),
    'r50_s4': (512, 2, 60, 1, 20), 'r50_ms3': (512, 2, 120, 1, 20), 'r50_avss': (224, 6, 50, 71, 0),
}
# MODEL.md: everything outside the two backbones, PVT with one class; ResNet-50 differs in the input projections and
# 71 classes in the last convolution.
OUTSIDE_BACKBONES = {'pvt': 25_684_928, 'r50': 25_684_928 - 265_216 + 986_112}
SEVENTY_CLASSES_MORE = 334_208 - 331_968


# MODEL.md: what each row of the ablation tables takes away, from the sizes of the blocks. With norms, a Temporal Mamba
# has 735,744 parameters, VSS with MixFFN 1,104,128, a V2A and an A2V block 701,952; a scan order 41,984.
ABLATIONS = {
    'III, without MTE': 2 * (1_104_128 + 735_744),
    'III, without MAD': 12 * 701_952,
    'III, without CIP': 4 * 701_952 + 3 * 735_744,
    'IV, without VSS': 2 * 1_104_128,
    'IV, without Temporal Mamba': 2 * 735_744,
    'V, without frame-level': 6 * 701_952,
    'V, without temporal-level': 6 * 701_952,
    'VI, without Temporal Mamba': 3 * 735_744,
    'VI, without A2V': 4 * 701_952,
    'VII, number of scan orders': (2 + 3) * (8 - 4) * 41_984,
}


def table(heading: str) -> dict[str, str]:
    """First and last column of the table under a heading of the README, without header and backticks."""
    text = re.search(rf'^## {heading}$(.*?)(?=^## |\Z)', (FOLDER / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
    rows = [line.strip('| ').split(' | ') for line in text.group(1).splitlines() if line.startswith('|')][2:]
    return {row[0]: row[-1].strip('`') for row in rows}


def with_options(name: str, options: str) -> Config:
    """A config of this folder as the tools read it with ``--cfg-options``."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return load_config(str(FOLDER / f'{name}.py'), parser.parse_args(['--cfg-options', *options.split()]).cfg_options,
                       None, 'none')


def build(cfg: Config) -> nn.Module:
    """The model, without memory."""
    init_default_scope('mmseg')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def outside_backbones(model: nn.Module) -> int:
    return sum(parameter.numel() for key, parameter in model.named_parameters()
               if not key.startswith(('backbone.', 'audio_backbone.')))


def test_the_table_of_the_readme_says_what_the_configs_say():
    text = (FOLDER / 'README.md').read_text()
    for name in [*PAPER, 'tiny_shapes']:
        cfg = Config.fromfile(FOLDER / f'{name}.py')
        row = re.search(rf'^\| \[{name}\]\({name}\.py\) .*$', text, re.MULTILINE).group().split(' | ')
        settings = [cfg.input_size[0], cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs]
        assert row[3:6] == [str(value) for value in settings], name


def test_every_config_is_listed_in_the_metafile():
    text = (FOLDER / 'metafile.yml').read_text()
    names = {path.stem for path in FOLDER.glob('*.py')}
    assert set(PAPER) | {'tiny_shapes'} <= names
    assert all(f'Config: configs/avs_mamba/{name}.py' in text for name in [*PAPER, 'tiny_shapes'])


@pytest.mark.parametrize('name', PAPER)
def test_paper_settings(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    size, batch, epochs, classes, frozen = PAPER[name]
    assert cfg.input_size == (size, size)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.model.decode_head.num_classes == classes
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=2e-5, weight_decay=0.01)
    assert cfg.param_scheduler == []
    hooks = [hook for hook in cfg.custom_hooks if hook.type == 'mmavs.FreezeBackboneHook']
    assert [hook.end_epoch for hook in hooks] == ([frozen] if frozen else [])
    assert cfg.test_dataloader.dataset.split == 'test'
    assert cfg.val_dataloader.dataset.split == 'val'


@pytest.mark.parametrize('name', PAPER)
def test_optimiser_has_no_further_settings(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    # No clipping, no accumulation, no learning rates of single parts, no weights without decay.
    assert set(cfg.optim_wrapper) == {'type', 'optimizer'}
    assert cfg.optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize('name', PAPER)
def test_augmentation_in_training_and_plain_resizing_in_tests(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    size, released = PAPER[name][0], name.endswith('_released')
    pipeline = {step.pop('type').removeprefix('mmavs.'): step for step in cfg.train_dataloader.dataset.pipeline}
    per_frame, soft = (dict(per_frame=True), dict(mask_interp='bilinear_soft')) if released else ({}, {})
    assert pipeline == dict(
        LoadClipFrames={}, LoadClipMasks={}, ClipRandomFlip=dict(prob=0.5, **per_frame),
        ClipPhotoMetricDistortion=per_frame, ClipRandomResizedCrop=dict(scale=(size, size), **per_frame, **soft),
        LogMelSpectrogram={}, PackAVSInputs={})
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert [step.type.removeprefix('mmavs.') for step in loader.dataset.pipeline] == [
            'LoadClipFrames', 'ClipResize', 'LoadClipMasks', 'LogMelSpectrogram', 'PackAVSInputs']
        assert loader.dataset.pipeline[1].scale == (size, size)
        assert loader.dataset.get('leak_free', False) is False


@pytest.mark.parametrize('name', PAPER)
def test_model_loss_and_choice_of_the_best_epoch(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    model, semantic = cfg.model, PAPER[name][3] == 71
    head, pyramid = model.decode_head, model.decode_head.pixel_decoder
    if name.startswith('pvt'):
        assert (model.backbone.type, model.backbone.arch) == ('mmavs.PVTv2', 'b5')
    else:
        assert (model.backbone.type, model.backbone.depth) == ('mmseg.ResNet', 50)
    parts = [part for part in (model.backbone, model.neck, head, pyramid) if part.type != 'mmseg.ResNet']
    assert [part.drop_path_rate for part in parts] == [0.1] * len(parts)
    assert model.audio_backbone.frozen is True
    assert (model.neck.num_layers, head.num_layers) == (2, 2)
    assert (model.neck.num_orders, pyramid.num_orders) == (8, 8)
    assert head.deep_supervision_weight == 1
    assert head.threshold == (None if semantic else 0.5)
    loss = head.loss_decode
    assert (loss.type, loss.get('loss_weight', 1), loss.get('use_sigmoid')) == (
        ('mmseg.CrossEntropyLoss', 1, False) if semantic else ('mmavs.AVSDiceLoss', 1, None))
    metric = dict(type='mmavs.AVSSemanticMetric', num_classes=71) if semantic else dict(
        type='mmavs.AVSMetric', preset='avsbench')
    assert cfg.val_evaluator == metric
    # The published table of the released code: at 512, on soft ground truth.
    assert cfg.test_evaluator == (dict(type='mmavs.AVSMetric', preset='avsmamba', eval_size=512,
                                       gt_interp='bilinear_soft') if name.endswith('_released') else metric)
    assert cfg.default_hooks.checkpoint.save_best == ('avss/mIoU' if semantic else 'avs/J')


@pytest.mark.parametrize('name', PAPER)
def test_parameter_count_outside_the_backbones(name):
    count = outside_backbones(build(Config.fromfile(FOLDER / f'{name}.py')))
    backbone, subset = name.split('_')[:2]
    assert count == OUTSIDE_BACKBONES[backbone] + (SEVENTY_CLASSES_MORE if subset == 'avss' else 0)


def test_every_row_of_the_ablation_table_has_its_number():
    assert set(table('Ablations')) == set(ABLATIONS)


@pytest.mark.parametrize('row', ABLATIONS)
def test_a_row_of_the_ablation_table_leaves_no_parameter_behind(row):
    model = build(with_options('pvt_ms3', table('Ablations')[row]))
    assert OUTSIDE_BACKBONES['pvt'] - outside_backbones(model) == ABLATIONS[row]


@pytest.mark.parametrize(('row', 'more'), zip(
    table('Paper and released code'),
    # Five blocks of 2 x 9 x 512 weights; two MixFFN of 535,808 with norms of 512; a Temporal Mamba with its norm.
    (5 * 9_216, -2 * 536_320, 735_744, 0), strict=True))
def test_switches_from_the_released_code_to_the_paper(row, more):
    model = build(with_options('pvt_ms3', table('Paper and released code')[row]))
    assert outside_backbones(model) - OUTSIDE_BACKBONES['pvt'] == more
    assert model.decode_head.deep_supervision_weight == (0 if 'supervised' in row else 1)


def entries(node: object, path: str = '') -> dict[str, object]:
    """All leaves of a config."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None or not node:
        return {path: node}
    return {name: leaf for key, child in items for name, leaf in entries(child, f'{path}.{key}'.strip('.')).items()}


@pytest.mark.parametrize('row', table('Changing settings'))
def test_the_settings_of_the_readme_change_the_configs(row):
    options = table('Changing settings')[row]
    before, after = (entries(cfg.to_dict()) for cfg in (
        Config.fromfile(FOLDER / 'pvt_ms3.py'), with_options('pvt_ms3', options)))
    for option in options.split():
        key = option.split('=')[0]
        assert [after[name] for name in after if name.startswith(key)] != [
            before[name] for name in before if name.startswith(key)]
    if row.startswith('input size'):
        scales = [value for name, value in after.items() if name.endswith('.scale') and 'dataloader' in name]
        assert scales == [(224, 224)] * 3
    if row.startswith('activation'):
        switches = [value for name, value in after.items() if name.startswith('model.') and name.endswith('with_cp')]
        assert switches == [False] * 4


@pytest.mark.parametrize('name', ['pvt_ms3_released', 'pvt_s4_released'])
def test_released_configs_draw_for_each_frame_and_soften_the_ground_truth(tmp_path, name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    dataset = cfg.train_dataloader.dataset
    generate(tmp_path, dataset.subset, clips=dict(train=1), image_size=64, workers=0, progress=False)
    np.random.seed(0)
    init_default_scope('mmseg')
    clip = DATASETS.build({**dataset, 'data_root': str(tmp_path)})[0]
    target = clip['data_samples'].gt_sem_seg.data
    assert target.dtype == torch.float32
    assert target.shape == (5, 512, 512)
    labelled = target[:1] if dataset.subset == 's4' else target
    assert labelled.min() >= 0
    assert labelled.max() == 1
    assert ((labelled > 0) & (labelled < 1)).float().mean() > 0.001
    assert (target[1:] == 255).all() == (dataset.subset == 's4')
    assert len(clip['data_samples'].flip) == 5
    # A clip of the paper's config has one flip, and masks of 0 and 1.
    paper = Config.fromfile(FOLDER / f'{name.removesuffix("_released")}.py').train_dataloader.dataset
    clip = DATASETS.build({**paper, 'data_root': str(tmp_path)})[0]
    assert clip['data_samples'].gt_sem_seg.data.dtype == torch.uint8
    assert clip['data_samples'].flip in (True, False)
    loss = MODELS.build(cfg.model.decode_head.loss_decode)
    # A perfect prediction of the shares themselves costs nothing; the mask of 0.5 and above costs something.
    target = labelled[labelled.flatten(1).any(1)]
    logits = torch.logit(target.clamp(1e-6, 1 - 1e-6))[:, None]
    assert loss(logits, target).item() < 1e-4
    assert loss(torch.where(logits > 0, 20.0, -20.0), target).item() > 1e-4


@pytest.mark.parametrize('name', ['r50_ms3', 'r50_avss'])
def test_batch_statistics_of_resnet_stay_in_training(name):
    model = build(Config.fromfile(FOLDER / f'{name}.py')).backbone
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 53
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)


def test_checkpointing_of_resnet_follows_the_variable_of_its_base():
    assert Config.fromfile(FOLDER / 'r50_ms3.py').model.backbone.with_cp is True


@pytest.mark.parametrize('name', ['pvt_avss', 'r50_avss'])
def test_avss_builds_without_a_warning_about_its_loss(name):
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*avg_non_ignore.*')
        build(Config.fromfile(FOLDER / f'{name}.py'))
