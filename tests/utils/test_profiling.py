import pytest
import torch

from mmavs.utils.complexity import count
from mmavs.utils.profiling import Case, measure, peak_memory, reset_peak_memory

CONFIG = '''
model = dict(
    type='mmavs.AVSegmentor',
    backbone=dict(type='mmavs.PVTv2', arch='b0', drop_path_rate=0.0),
    audio_backbone=dict(type='mmavs.VGGish', stage_channels=(4, 4, 4, 4), fc_channels=(8, 8, 128), frozen=True),
    neck=dict(type='mmavs.MTENeck', in_channels=(32, 64, 160, 256), out_channels=32, num_layers=1, num_orders=2,
              d_state=2),
    decode_head=dict(type='mmavs.MADHead', in_channels=(32, ) * 4, channels=32, num_layers=1, mlp_channels=8,
                     fc_channels=(8, 8), d_state=2, pixel_decoder=dict(type='mmavs.FPNPixelDecoder', channels=32)))
'''


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small.py'
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize('mode', ['infer', 'train'])
def test_rates_follow_from_the_seconds_and_flops_from_the_count(config, mode):
    from mmengine.config import Config

    from mmavs.utils.building import build_model, published_form, random_clips
    result = measure(Case(config, 64, 96, frames=2, clips=2, repeats=1, mode=mode))
    model, clip = build_model(Config.fromfile(config)), random_clips(1, 2, (64, 96))
    with published_form(model):
        assert result['gflops'] == count(model, lambda: model(clip, None, mode='tensor')).flops[''] / 1e9
    assert result['parameters'] == sum(parameter.numel() for parameter in model.parameters())
    assert result['clips_per_s'] == pytest.approx(2 / result['seconds'])
    assert result['frames_per_s'] == pytest.approx(4 / result['seconds'])
    assert (result['height'], result['width'], result['mode']) == (64, 96, mode)
    assert 'options' not in result
    if result['peak_memory_mib'] is not None:
        assert 0 <= result['peak_memory_mib'] < peak_memory('cpu') / 2**20 - 50, 'what was held before is not in'


@pytest.mark.parametrize(('mode', 'expected'), [('infer', 'backbone PVTv2Block'), ('train', 'aten::')])
def test_costliest_parts_are_named(config, mode, expected):
    result = measure(Case(config, 64, 64, frames=1, repeats=1, mode=mode, parts=50))
    assert any(name.startswith(expected) for name, _, _ in result['parts'])
    seconds = [part[1] for part in result['parts']]
    assert seconds == sorted(seconds, reverse=True)
    assert 0.5 < sum(part[2] for part in result['parts']) <= 1.001
    assert measure(Case(config, 64, 64, frames=1, repeats=1, mode=mode))['parts'] == []


def test_options_override_the_config(config):
    parameters = [measure(Case(config, 64, 64, frames=1, repeats=1, options=options))['parameters']
                  for options in ((), (('model.decode_head.num_layers', 2),))]
    assert parameters[1] > parameters[0]


def test_peak_memory_sees_a_buffer_that_is_gone_again():
    before = reset_peak_memory('cpu')
    if peak_memory('cpu') is None:
        pytest.skip('this system does not tell the peak memory of a process')
    buffer = torch.ones(64 * 2**20, dtype=torch.uint8)
    del buffer
    assert peak_memory('cpu') - before > 48 * 2**20
