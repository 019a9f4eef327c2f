import pytest
import torch
from mmengine.config import Config
from mmengine.model import PretrainedInit

from mmavs.utils.building import build_dataset, build_model, published_form, random_clips, without_pretrained

PREPROCESSOR = dict(type='mmavs.AVDataPreprocessor')
GONE = dict(type='Pretrained', checkpoint='gone.pth')


def neck_config(**extra) -> Config:
    return Config(dict(model=dict(type='mmavs.FPNPixelDecoder', channels=4, **extra)))


def test_pretrained_files_are_not_looked_for_at_any_depth():
    cfg = dict(backbone=dict(init_cfg=GONE, stages=[dict(init_cfg=dict(type=PretrainedInit, checkpoint='b'), depth=2)]),
               head=dict(init_cfg=dict(type='Normal', std=0.1)))
    found = without_pretrained(cfg)
    assert found == dict(backbone=dict(init_cfg=None, stages=[dict(init_cfg=None, depth=2)]),
                         head=dict(init_cfg=dict(type='Normal', std=0.1)))
    assert cfg['backbone']['init_cfg'] == GONE


def test_model_is_built_for_evaluation_with_the_weights_of_the_checkpoint(tmp_path):
    torch.manual_seed(0)
    trained = build_model(neck_config())
    torch.save(dict(state_dict=trained.state_dict(), meta=dict(dataset_meta=dict(classes=['a', 'b']))),
               tmp_path / 'w.pth')
    torch.manual_seed(1)
    model = build_model(neck_config(init_cfg=GONE), str(tmp_path / 'w.pth'))
    assert not model.training
    assert model.dataset_meta == dict(classes=['a', 'b'])
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])
    assert build_model(neck_config()).dataset_meta is None


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    state = build_model(neck_config()).state_dict()
    torch.save(dict(state_dict={f'foo.{name}': value for name, value in state.items()}), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'w\.pth does not fit the model: it lacks .*; it has unknown foo\..*; check'):
        build_model(neck_config(), str(tmp_path / 'w.pth'))


def test_errors_name_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match='has no entry "model"'):
        build_model(Config(dict(a=1)))
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        build_model(neck_config(), str(tmp_path / 'gone.pth'))
    with pytest.raises(ValueError, match="split='dev' must be one of train, val, test"):
        build_dataset(Config(dict(a=1)), 'dev')
    with pytest.raises(ValueError, match='has no val_dataloader'):
        build_dataset(Config(dict(a=1)), 'val')
    with pytest.raises(ValueError, match='has no test_dataloader'):
        build_dataset(Config(dict(val_dataloader=dict(a=1))), 'val', pipeline_of='test')


def test_dataset_of_one_loader_with_the_transforms_of_another(tmp_path):
    from mmavs.datasets.sounding_shapes import generate
    generate(str(tmp_path), 'ms3', clips=dict(train=1, val=1, test=1), seed=0, image_size=64, workers=0)

    def loader(split, pipeline):
        return dict(dataset=dict(type='mmavs.AVSBenchDataset', subset='ms3', split=split, data_root=str(tmp_path),
                                 pipeline=pipeline))

    cfg = Config(dict(train_dataloader=loader('train', []),
                      test_dataloader=loader('test', [dict(type='mmavs.LoadClipFrames')])))
    assert 'imgs' not in build_dataset(cfg, 'train')[0]
    item = build_dataset(cfg, 'train', pipeline_of='test')[0]
    assert item['split'] == 'train'
    assert len(item['imgs']) == 5


def test_random_clips_have_the_preprocessors_layout():
    batch = random_clips(2, 3, (32, 64))
    assert batch['img'].shape == (6, 3, 32, 64)
    assert batch['audio'].shape == (6, 1, 96, 64)
    assert batch['clip_lengths'] == [3, 3]
    assert torch.equal(batch['img'], random_clips(2, 3, (32, 64))['img'])


def test_published_form_is_plain_inside_and_restored_after_an_error():
    from mmavs.models.decode_heads.mask_mlp import MaskMLP
    model = torch.nn.Sequential(MaskMLP(1, 4, 4), MaskMLP(1, 4, 4, 'piecewise'), MaskMLP(2, 4, 4))
    with published_form(model):
        assert [mlp.evaluation for mlp in model] == ['plain'] * 3
    with pytest.raises(ZeroDivisionError), published_form(model):
        _ = 1 / 0
    assert [mlp.evaluation for mlp in model] == ['auto', 'piecewise', 'plain']
