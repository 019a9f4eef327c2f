"""Mistakes in a config end in one sentence when it is read or built, not in a shape error at the first iteration."""

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.optim import AdamW

from mmavs.engine.launch import load_config
from mmavs.registry import DATASETS, METRICS, MODELS
from mmavs.utils.config_check import ConfigMistakeError, check_config
from tests.tools.micro import ROOT, write_config

MODEL, TRAIN, TEST = 'model', 'train_dataloader.dataset', 'test_dataloader.dataset'
# Name: (options over the micro config, what the message says).
MISTAKES = {
    # Keys and names of this package.
    'key of the neck': ({f'{MODEL}.neck.num_order': 4},
                        r"model\.neck: mmavs\.MTENeck has no argument 'num_order' \(did you mean num_orders\?\); "
                        'its arguments are in_channels, out_channels, num_layers'),
    'key of the head': ({f'{MODEL}.decode_head.dropout': 0.1}, "mmavs.MADHead has no argument 'dropout'"),
    'key of the pixel decoder': ({f'{MODEL}.decode_head.pixel_decoder.num_frames': 5},
                                 r"model\.decode_head\.pixel_decoder: mmavs\.CIPPixelDecoder has no argument 'num_fr"),
    'key of the loss': ({f'{MODEL}.decode_head.loss_decode': dict(type='mmavs.AVSDiceLoss', gamma=1)}, "has no .*'gam"),
    'key of VGGish': ({f'{MODEL}.audio_backbone.out_channels': 128}, "mmavs.VGGish has no argument 'out_channels'"),
    'key of the preprocessor': ({f'{MODEL}.data_preprocessor.size': (8, 8)}, "AVDataPreprocessor has no argument 'siz"),
    'key of the dataset': ({f'{TRAIN}.leakfree': True}, r"train_dataloader\.dataset: .*'leakfree' \(did you mean leak"),
    'key of a transform': ({f'{TRAIN}.pipeline.2.probability': 1}, r'dataset\.pipeline\[2\]: mmavs\.ClipRandomFlip'),
    'key of the metric': ({'val_evaluator.presets': 'combo'}, r"AVSMetric has no argument 'presets' \(did you mean pr"),
    'key of a hook': ({'custom_hooks': [dict(type='mmavs.InvalidLossHook', actions='skip')]}, r'custom_hooks\[0\]'),
    'type of a module': ({f'{MODEL}.neck.type': 'mmavs.MTENek'}, r'no mmavs\.MTENek \(did you mean mmavs\.MTENeck'),
    'type of a transform': ({f'{TEST}.pipeline.0.type': 'mmavs.LoadFrames'}, r'pipeline\[0\]\.type: there is no'),
    # Channels and levels.
    'channels of backbone and neck': ({f'{MODEL}.neck.in_channels': (64, 128, 320, 512)},
                                      r'does not fit model\.backbone, which gives 4 maps of \(4, 8, 16, 32\) channels; '
                                      r'set model\.neck\.in_channels=\(4, 8, 16, 32\)'),
    'levels of the backbone': ({f'{MODEL}.backbone.out_indices': (0, 1, 2)}, 'gives 3 maps .*out_indices .* 4 maps'),
    'levels of the neck': ({f'{MODEL}.neck.in_channels': (4, 8, 16)}, 'in_channels of MTENeck .* must be 4 whole numb'),
    'levels of the head': ({f'{MODEL}.decode_head.in_channels': (32, 32, 32)}, 'in_channels of MADHead .* must be 4'),
    'strides of the backbone': ({f'{MODEL}.backbone.strides': (1, 1, 1, 1)}, r'maps at strides \(4, 4, 4, 4\), but'),
    'head without its neck': ({f'{MODEL}.neck': None}, r'decode_head\.in_channels=\(32, 32, 32, 32\) does not fit'),
    'channels of neck and head': ({f'{MODEL}.neck.out_channels': 64}, 'neck.out_channels=64 does not fit decode_head'),
    'channels of the head': ({f'{MODEL}.decode_head.channels': 64}, 'in_channels of MADHead must be channels=64'),
    'channels of the pixel decoder': ({f'{MODEL}.decode_head.pixel_decoder.channels': 64}, 'must equal channels=32'),
    'channels of the audio': ({f'{MODEL}.audio_backbone.fc_channels': (16, 16, 64)},
                              r'decode_head\.audio_channels=128 does not fit model\.audio_backbone, which gives 64'),
    'stages of VGGish': ({f'{MODEL}.audio_backbone.stage_channels': (4, 4, 4)}, 'stage_channels of VGGish must be 4'),
    'channels that no GroupNorm fits': ({f'{MODEL}.neck.out_channels': 40}, 'must be a multiple of 32'),
    'channels of the last convolutions': ({f'{MODEL}.decode_head.fc_channels': (8, 4, 2)}, 'must be 2 whole numbers'),
    'no channels in the last convolutions': ({f'{MODEL}.decode_head.fc_channels': (0, 4)}, r'got \(0, 4\)'),
    'no channels in the mask MLP': ({f'{MODEL}.decode_head.mlp_channels': 0}, 'mlp_channels must be a whole number'),
    # Parts that are missing or of another kind.
    'no visual backbone': ({f'{MODEL}.backbone': None}, r"model\.backbone=None: mmavs\.AVSegmentor needs the"),
    'no audio backbone': ({f'{MODEL}.audio_backbone': None}, r"model\.audio_backbone=None: .*type='mmavs\.VGGish'"),
    'no head': ({f'{MODEL}.decode_head': None}, r"model\.decode_head=None: .*dict\(type='mmavs\.MADHead'\)"),
    'no preprocessor': ({f'{MODEL}.data_preprocessor': None}, "data_preprocessor is None, but .*'mmavs.AVDataPreproc"),
    'preprocessor of images': ({f'{MODEL}.data_preprocessor': dict(type='mmseg.SegDataPreProcessor')},
                               r'data_preprocessor is mmseg\.SegDataPreProcessor, but mmavs\.AVSegmentor needs'),
    # Numbers of another type.
    'half a state': ({f'{MODEL}.neck.d_state': 2.5}, 'd_state of a scan must be a whole number .* but got 2.5'),
    'state as text': ({f'{MODEL}.neck.d_state': '2'}, "d_state of a scan must be a whole number .* but got '2'"),
    'kernel as a float': ({f'{MODEL}.neck.temporal_kernel': 3.0}, 'temporal_kernel must be a whole number .*got 3.0'),
    'one number for all levels': ({f'{MODEL}.neck.in_channels': 32}, 'in_channels of MTENeck .* but got 32'),
    'one layer and a half': ({f'{MODEL}.neck.num_layers': 1.5}, 'num_layers of MTENeck must be a whole number .*1.5'),
    'threshold in percent': ({f'{MODEL}.decode_head.threshold': 50}, r'threshold of MADHead .*\[0, 1\], but got 50'),
    # Classes.
    'classes of a binary set': ({f'{MODEL}.decode_head.num_classes': 71},
                                r'num_classes=71 does not fit .*subset=.ms3.* set model\.decode_head\.num_classes=1\.'),
    'two classes of a binary set': ({f'{MODEL}.decode_head.num_classes': 2},
                                    r'num_classes=2 does not fit .*sounding or not; set .*num_classes=1\.'),
    'classes of AVSS': ({f'{TRAIN}.subset': 'avss'},
                        r'num_classes=1 does not fit train_dataloader.*subset=.avss.* set .*num_classes=71\.'),
    'too many classes of AVSS': ({f'{TRAIN}.subset': 'avss', f'{MODEL}.decode_head.num_classes': 80},
                                 r'num_classes=80 does not fit .*71 classes; set model\.decode_head\.num_classes=71\.'),
    'semantic metric of a binary head': ({'val_evaluator': dict(type='mmavs.AVSSemanticMetric')},
                                         r'val_evaluator\.num_classes=71 does not fit .*num_classes=1'),
    'binary metric of a head with classes': (
        {f'{MODEL}.decode_head.num_classes': 3, f'{TEST}.type': 'mmseg.ADE20KDataset',
         f'{TRAIN}.type': 'mmseg.ADE20KDataset', 'val_dataloader.dataset.type': 'mmseg.ADE20KDataset'},
        'AVSMetric scores sounding or not, but .*=3; set num_classes=1, or .* use'),
    # Orders and frames.
    'odd orders': ({f'{MODEL}.neck.num_orders': 3}, r'num_orders.*(2, 4|even)'),
    'too many orders': ({f'{MODEL}.decode_head.pixel_decoder.num_orders': 14}, 'num_orders'),
    'even temporal kernel': ({f'{MODEL}.neck.temporal_kernel': 2}, 'odd'),
    'no temporal kernel': ({f'{MODEL}.decode_head.pixel_decoder.temporal_kernel': 0}, 'temporal_kernel must be a who'),
    'no state': ({f'{MODEL}.neck.d_state': 0}, 'd_state of a scan must be a whole number of at least 1, but got 0'),
    'no inner channels': ({f'{MODEL}.neck.expand': 0}, 'expand must be a whole number of at least 1, but got 0'),
    'half a channel more': ({f'{MODEL}.decode_head.expand': 1.5}, 'expand must be a whole number'),
    'rank of zero': ({f'{MODEL}.decode_head.dt_rank': -1}, 'dt_rank'),
    'no layers in the neck': ({f'{MODEL}.neck.num_layers': -1}, 'num_layers of MTENeck must be a whole number'),
    'layer without parts': ({f'{MODEL}.neck.with_vss': False, f'{MODEL}.neck.with_temporal': False}, 'num_layers=0'),
    'no queries': ({f'{MODEL}.decode_head.num_queries': 0}, 'num_queries of MADHead must be a whole number'),
    'mask MLP by another name': ({f'{MODEL}.decode_head.mask_mlp': 'fast'}, r"mask_mlp must be one of .*'fast'"),
    'drop path above 1': ({f'{MODEL}.neck.drop_path_rate': 1.5}, 'drop'),
    'sliding window': ({f'{MODEL}.test_cfg': dict(mode='slide')}, "test_cfg.mode must be 'whole'"),
    # Data and metrics.
    'subset': ({f'{TEST}.subset': 's5'}, r"subset must be one of \['s4', 'ms3', 'avss'\], got 's5'"),
    'split': ({f'{TEST}.split': 'testing'}, "split must be one of"),
    'pipeline without sound': ({f'{TEST}.pipeline': [dict(type=f'mmavs.{name}') for name in (
        'LoadClipFrames', 'LoadClipMasks', 'PackAVSInputs')]}, r'test_dataloader\.dataset\.pipeline lacks mmavs\.Log'),
    'pipeline in another order': ({f'{TEST}.pipeline': [dict(type=f'mmavs.{name}') for name in (
        'LoadClipFrames', 'LoadClipMasks', 'PackAVSInputs', 'LogMelSpectrogram')]}, 'must begin with .* and end with'),
    'transform of images': ({f'{TRAIN}.pipeline.3.type': 'Resize'}, r'train_dataloader\.dataset\.pipeline\[3\]: Resize '
                            r'is for single images .* \(mmavs.LoadClipFrames, LoadClipMasks, ClipResize'),
    'mmcv step': ({f'{TEST}.pipeline.0.type': 'mmcv.LoadImageFromFile'}, 'LoadImageFromFile is for single images'),
    'padding': ({f'{TEST}.pipeline.3.pad': 'zero'}, r"pad must be one of .*got 'zero'"),
    'scale of a resize': ({f'{TEST}.pipeline.1.scale': (0, 32)}, 'scale'),
    # The run.
    'no clips in a batch': ({'train_dataloader.batch_size': 0}, r'train_dataloader\.batch_size must be a whole number'),
    'half a worker': ({'test_dataloader.num_workers': 0.5}, r'test_dataloader\.num_workers must be .* but got 0\.5'),
    'persistent workers that are none': ({'val_dataloader.persistent_workers': True},
                                         r'val_dataloader\.persistent_workers=True needs workers: set .*num_workers'),
    'prefetching without workers': ({'val_dataloader.prefetch_factor': 2}, 'prefetch_factor=2 needs workers'),
    'best by no score': ({'default_hooks.checkpoint.save_best': 'avs/Jaccard'},
                         r"save_best='avs/Jaccard': val_evaluator reports no such score.*; it reports avs/J, avs/F"),
    'best by another score': ({'default_hooks.checkpoint.save_best': ['avs/J', 'avss/mIoU']}, "save_best='avss/mIoU'"),
    'no validation': ({'train_cfg.val_interval': 0}, r'train_cfg\.val_interval must be a whole number of at least 1'),
    'epochs as text': ({'train_cfg.max_epochs': '9'}, r"train_cfg\.max_epochs must be a whole number .* but got '9'"),
    'optimiser by another name': ({'optim_wrapper.optimizer.type': 'AdmW'},
                                  r'no optimiser AdmW \(did you mean AdamW\?\)'),
    'key of the optimiser': ({'optim_wrapper.optimizer.weight_decy': 0.1},
                             r"AdamW has no argument 'weight_decy' \(did you mean weight_decay\?\)"),
    'learning rate as text': ({'optim_wrapper.optimizer.lr': '1e-3x'}, r"optimizer\.lr must be a number .*'1e-3x'"),
    'learning rate below 0': ({'optim_wrapper.optimizer.lr': -1e-3}, r'optimizer\.lr must be a number of at least 0'),
    'key of the optimiser wrapper': ({'optim_wrapper.type': 'mmavs.AutocastOptimWrapper', 'optim_wrapper.dytpe': 'x'},
                                     r"AutocastOptimWrapper has no argument 'dytpe' \(did you mean dtype\?\)"),
    'preset': ({'test_evaluator.preset': 'avsbenhc'}, "preset.*'avsbenhc'"),
}


def build(cfg: Config) -> None:
    """What a run builds before its first iteration, except that no data is read."""
    init_default_scope('mmseg')
    MODELS.build(cfg.model)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        DATASETS.build({**loader.dataset, 'lazy_init': True})
    METRICS.build(cfg.test_evaluator)


@pytest.mark.parametrize('mistake', MISTAKES)
def test_one_sentence_says_what_is_wrong(tmp_path, mistake):
    options, message = MISTAKES[mistake]
    path = write_config(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        build(load_config(str(path), options, str(tmp_path), 'none'))
    assert '\n' not in str(caught.value)


def test_the_config_itself_is_right(tmp_path):
    build(load_config(str(write_config(tmp_path)), None, str(tmp_path), 'none'))


@pytest.mark.parametrize('path', sorted(ROOT.glob('configs/avs_mamba/*.py')), ids=lambda path: path.stem)
def test_shipped_configs_pass(path):
    check_config(Config.fromfile(path))


def test_the_config_is_left_unchanged(tmp_path):
    cfg = Config.fromfile(write_config(tmp_path))
    before = cfg.pretty_text
    check_config(cfg)
    assert cfg.pretty_text == before


@pytest.mark.parametrize('part', [{}, dict(model=dict(type='mmseg.EncoderDecoder')), dict(model=None),
                                  dict(train_dataloader=dict(dataset=dict(type='mmseg.ADE20KDataset')))])
def test_parts_and_other_packages_are_none_of_its_business(part):
    check_config(part)


@pytest.mark.parametrize('wrapper', [
    dict(type='mmavs.AutocastOptimWrapper', accumulative_counts=2, clip_grad=dict(max_norm=1.0), dtype='bfloat16',
         constructor='DefaultOptimWrapperConstructor', paramwise_cfg=dict(bias_lr_mult=2.0)),
    dict(type='AmpOptimWrapper', loss_scale='dynamic'), dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
    dict(optimizer=dict(type=AdamW, lr=0.1))])
def test_optimisers_that_are_right(wrapper):
    check_config(dict(optim_wrapper=dict(dict(optimizer=dict(type='AdamW', lr=0.1)), **wrapper)))


def test_a_neck_in_another_packages_segmentor_must_fit_its_backbone():
    model = dict(type='mmseg.EncoderDecoder',
                 backbone=dict(type='mmseg.ResNet', depth=18, num_stages=4, strides=(1, 2, 1, 1),
                               dilations=(1, 1, 2, 4), out_indices=(0, 1, 2, 3)),
                 neck=dict(type='mmavs.MTENeck', in_channels=(64, 128, 256, 512)))
    check_config(dict(model=model))
    model['neck']['in_channels'] = (256, 512, 1024, 2048)
    with pytest.raises(ConfigMistakeError, match=r'set model\.neck\.in_channels=\(64, 128, 256, 512\)'):
        check_config(dict(model=model))


def test_the_preprocessor_beside_the_model_counts_for_a_model_without_one(tmp_path):
    cfg = Config.fromfile(write_config(tmp_path))
    found = cfg.model.pop('data_preprocessor')
    check_config(cfg)
    cfg.data_preprocessor = None
    with pytest.raises(ConfigMistakeError, match='data_preprocessor is None'):
        check_config(cfg)
    cfg.data_preprocessor = found
    check_config(cfg)


def test_classes_in_the_place_of_names_are_checked():
    from mmavs.models import MTENeck
    with pytest.raises(ConfigMistakeError, match=r"model: mmavs\.MTENeck has no argument 'orders'"):
        check_config(dict(model=dict(type=MTENeck, orders=2)))


def test_the_place_of_a_class_is_its_type_in_pure_python_configs(tmp_path):
    path = tmp_path / 'pure.py'
    path.write_text('from mmavs.engine.samplers import SeededSampler\nfrom mmavs.models import AVSDiceLoss, MTENeck\n'
                    'from torch.optim import SGD\n\n'
                    'neck = dict(type=MTENeck, out_channels=32)\nloss = dict(type=AVSDiceLoss)\n'
                    'sampler = dict(type=SeededSampler)\noptim_wrapper = dict(optimizer=dict(type=SGD, lr=0.1))\n')
    load_config(str(path), None, None, 'none')
    with pytest.raises(ConfigMistakeError, match=r'no argument .num_order. .did you mean num_orders'):
        load_config(str(path), {'neck.num_order': 2}, None, 'none')
    with pytest.raises(ConfigMistakeError, match=r'there is no mmavs.models.AVSDiceLos .did you mean mmavs.AVSDice'):
        check_config(dict(loss=dict(type='mmavs.models.AVSDiceLos')))


def test_backbones_that_need_memory_to_be_built_are_checked_too(tmp_path):
    cfg = Config.fromfile(write_config(tmp_path))
    cfg.model.backbone = dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_heads=(1, 1, 1, 1))
    with pytest.raises(ConfigMistakeError, match=r'which gives 4 maps of \(8, 8, 8, 8\) channels'):
        check_config(cfg)
    cfg.model.neck.in_channels = (8, 8, 8, 8)
    check_config(cfg)


@pytest.mark.parametrize(('text', 'message'), [
    ('model = dict(', 'SyntaxError: .*never closed'), ('model = undefined_name', "NameError: name 'undefined_name' is"),
    ("_base_ = 'gone.py'", r'FileNotFoundError: .*gone\.py'), ('lr = 1 / 0', 'ZeroDivisionError: division by zero')])
def test_files_that_are_no_config(tmp_path, text, message):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(ConfigMistakeError, match=rf'The config file {path} cannot be read: {message}'):
        load_config(str(path), None, None, 'none')


@pytest.mark.parametrize('step', [
    dict(type='mmengine.Compose', transforms=[]), dict(type='RandomApply', transforms=[dict(type='mmavs.ClipResize')]),
    dict(type='TestTimeAug', transforms=[]), dict(type='SomeOnesOwn'), str.strip])
def test_pipelines_with_steps_of_others_may_lack_ours(tmp_path, step):
    cfg = Config.fromfile(write_config(tmp_path))
    cfg.train_dataloader.dataset.pipeline[3:] = [step]
    check_config(cfg)


@pytest.mark.parametrize('options', [{f'{TEST}.pipeline.9.pad': 'silence'}, {'custom_hooks.first.type': 'x'}])
def test_options_that_do_not_fit(tmp_path, options):
    with pytest.raises(ConfigMistakeError, match=r'--cfg-options .* do not fit'):
        load_config(str(write_config(tmp_path)), options, None, 'none')
