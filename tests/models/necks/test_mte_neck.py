"""The neck alone, and in an image segmentor of mmseg."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmavs.models.necks.mte_neck import MTENeck

from ..layers.test_visual_scan_block import randomise
from .test_mte_layer import reference

SMALL = dict(in_channels=(4, 6, 8, 10), out_channels=32, d_state=2)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def make_feats(num_frames, channels=(4, 6, 8, 10), side=16):
    return [torch.randn(num_frames, c, side >> i, side >> i) for i, c in enumerate(channels)]


def cut(feats, start, stop):
    return [feature[start:stop] for feature in feats]


def test_parameter_counts():
    assert count(MTENeck(num_layers=0)) == 265_216
    assert count(MTENeck((256, 512, 1024, 2048), num_layers=0)) == 986_112
    assert count(MTENeck()) == 265_216 + 2 * 1_839_872


def test_settings_reach_the_layers():
    neck = MTENeck(**SMALL, num_layers=1, num_orders=6, with_ffn=False, temporal_kernel=3, expand=3, dt_rank=5,
                   drop_path_rate=0.2, with_cp=True)
    layer = neck.layers[0]
    assert layer.temporal.orders == ('THW', 'TWH', 'HWT')
    assert layer.temporal.conv.kernel_size == (3, 3, 3)
    assert (layer.temporal.scan.channels, layer.temporal.scan.dt_rank, layer.vss.scan.d_state) == (96, 5, 2)
    assert layer.drop_path.prob == 0.2
    assert layer.with_cp
    assert not hasattr(layer, 'ffn')
    assert MTENeck(**SMALL, num_layers=1, ffn_ratio=2).layers[0].ffn.fc1.out_features == 64


def test_shapes_and_the_finest_level_is_only_projected():
    torch.manual_seed(0)
    neck, feats = MTENeck(**SMALL).eval(), make_feats(3)
    outputs = neck(feats, [2, 1])
    assert [tuple(o.shape) for o in outputs] == [(3, 32, 16, 16), (3, 32, 8, 8), (3, 32, 4, 4), (3, 32, 2, 2)]
    assert torch.equal(outputs[0], neck.projections[0](feats[0]))
    assert (outputs[1] - neck.projections[1](feats[1])).abs().max() > 1e-2


def test_equals_reference():
    torch.manual_seed(8)
    neck = randomise(MTENeck((4, 6, 8, 10), out_channels=64, num_orders=4, d_state=2, drop_path_rate=0.))
    feats = [torch.randn(3, c, 8 >> i, 16 >> i, dtype=torch.float64) for i, c in enumerate((4, 6, 8, 10))]
    maps = []
    for (conv, norm), feature in zip(neck.projections, feats, strict=True):
        x = torch.einsum('nchw,dc->nhwd', feature, conv.weight[:, :, 0, 0]) + conv.bias
        # GroupNorm: 32 groups of two neighbouring channels, eps 1e-5.
        groups = x.unflatten(3, (32, 2))
        variance, mean = torch.var_mean(groups, dim=(1, 2, 4), correction=0, keepdim=True)
        maps.append(((groups - mean) / (variance + 1e-5).sqrt()).flatten(3) * norm.weight + norm.bias)
    outputs = neck(feats, [2, 1])
    for clip in (slice(0, 2), slice(2, 3)):
        # Strides 8, 16 and 32 in this order; stride 4 is only projected.
        levels = [x[clip] for x in maps[1:]]
        for layer in neck.layers:
            levels = reference(levels, layer, 4)
        for output, expected in zip(outputs, [maps[0][clip], *levels], strict=True):
            torch.testing.assert_close(output[clip].permute(0, 2, 3, 1), expected, rtol=1e-11, atol=1e-11)


def test_sizes_that_are_not_halves_of_each_other():
    neck = MTENeck(**SMALL).eval()
    sizes = [(9, 7), (5, 4), (3, 2), (2, 2)]
    outputs = neck([torch.randn(2, c, *size) for c, size in zip(SMALL['in_channels'], sizes, strict=True)])
    assert [tuple(o.shape[2:]) for o in outputs] == sizes


def test_a_clip_does_not_depend_on_its_batch():
    torch.manual_seed(1)
    neck, feats = MTENeck(**SMALL).eval(), make_feats(6)
    with torch.no_grad():
        together = neck(feats, [2, 3, 1])
        for start, stop in ((0, 2), (2, 5), (5, 6)):
            alone = neck(cut(feats, start, stop), [stop - start])
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[start:stop], b, rtol=0, atol=1e-6)


def test_without_clip_lengths_every_frame_is_a_clip():
    torch.manual_seed(2)
    neck, feats = MTENeck(**SMALL).eval(), make_feats(2)
    with torch.no_grad():
        for a, b in zip(neck(feats), neck(feats, [1, 1]), strict=True):
            assert torch.equal(a, b)
        assert (neck(feats)[2] - neck(feats, [2])[2]).abs().max() > 5e-5


@pytest.mark.parametrize('switches', [{}, dict(with_cp=True), dict(with_vss=False), dict(with_temporal=False),
                                      dict(with_ffn=False), dict(temporal_kernel=3), dict(num_layers=0)])
def test_every_parameter_is_used(switches):
    torch.manual_seed(3)
    neck = MTENeck(**SMALL, drop_path_rate=0., **switches)
    sum(output.square().sum() for output in neck(make_feats(3), [2, 1])).backward()
    assert [name for name, parameter in neck.named_parameters() if parameter.grad is None] == []


def test_checkpointing_changes_no_number():
    torch.manual_seed(4)
    neck, feats, results = MTENeck(**SMALL, drop_path_rate=0.3), make_feats(4), []
    for with_cp in (False, True):
        for layer in neck.layers:
            layer.with_cp = with_cp
        neck.zero_grad()
        torch.manual_seed(5)
        loss = sum(output.square().mean() for output in neck(feats, [2, 2]))
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in neck.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_bfloat16_autocast_trains():
    torch.manual_seed(6)
    neck, feats = MTENeck(**SMALL), make_feats(2)
    with torch.autocast('cpu', torch.bfloat16):
        loss = sum(output.float().square().mean() for output in neck(feats, [2]))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(in_channels=(4, 6, 8)), r'in_channels of MTENeck \(levels at strides 4, 8, 16, 32\) must be 4 whole numbers'),
    (dict(in_channels=32), 'in_channels of MTENeck .* must be 4 whole numbers of at least 1, but got 32'),
    (dict(out_channels=48), 'multiple of 32'),
    (dict(num_layers=-1), 'num_layers of MTENeck must be a whole number of at least 0, but got -1'),
    (dict(num_layers=1.5), 'num_layers of MTENeck must be a whole number of at least 0, but got 1.5'),
    (dict(out_channels=32.0), 'out_channels of MTENeck must be a whole number'),
    (dict(num_orders=4.0), 'num_orders must be a whole number of at least 2, but got 4.0'),
    (dict(temporal_kernel=3.0), 'temporal_kernel must be a whole number of at least 1, but got 3.0'),
    (dict(expand=2.0), 'expand must be a whole number of at least 1, but got 2.0'),
    (dict(ffn_ratio='4'), "ffn_ratio must be a number of at least 0, but got '4'"),
    (dict(num_orders=7), 'num_orders'),
    (dict(temporal_kernel=2), 'temporal_kernel must be a positive odd number'),
    (dict(with_vss=False, with_temporal=False), 'set num_layers=0'),
    (dict(drop_path_rate=1), 'drop_path_rate'),
])
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MTENeck(**{**SMALL, **settings})


def test_unfitting_inputs():
    neck = MTENeck(**SMALL)
    with pytest.raises(ValueError, match=r'in_channels=\(4, 6, 8, 10\), but the backbone gives maps of \(4, 6, 8\)'):
        neck(make_feats(1)[:3])
    with pytest.raises(ValueError, match=r'sum to the 2 frames of the batch, but got \[3\]'):
        neck(make_feats(2), [3])


def test_trains_in_an_image_segmentor_of_mmseg():
    torch.manual_seed(7)
    model = MODELS.build(dict(
        type='EncoderDecoder', data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(64, 64)),
        backbone=dict(type='ResNet', depth=18, norm_cfg=dict(type='BN')),
        neck=dict(type='mmavs.MTENeck', in_channels=(64, 128, 256, 512), out_channels=32, num_layers=1, d_state=2),
        decode_head=dict(type='FCNHead', in_channels=32, in_index=1, channels=8, num_convs=1, num_classes=3,
                         norm_cfg=dict(type='BN'), loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
        test_cfg=ConfigDict(mode='whole')))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 64, 64)))) for _ in range(2)]
    data = model.data_preprocessor(dict(inputs=[torch.randint(0, 255, (3, 64, 64)) for _ in range(2)],
                                        data_samples=samples), training=True)
    losses = model(**data, mode='loss')
    losses['decode.loss_ce'].backward()
    assert losses['decode.loss_ce'].item() == pytest.approx(1.1, abs=0.3)
    # Only level 1 is read, but the encoder mixes the levels: the coarsest projection learns too.
    assert model.neck.projections[3][0].weight.grad.abs().max() > 0
    model.eval()
    assert model(data['inputs'], mode='predict')[0].pred_sem_seg.data.shape == (1, 64, 64)
