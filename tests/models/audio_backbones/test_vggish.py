import itertools

import pytest
import torch
from torch.nn import functional as F

from mmavs.models.audio_backbones import VGGish, vggish
from mmavs.registry import MODELS

SMALL = dict(stage_channels=(4, 6, 8, 10), fc_channels=(24, 20, 16), frozen=False)
CONV_NAMES = ('features.0', 'features.3', 'features.6', 'features.8', 'features.11', 'features.13')
LINEAR_NAMES = ('embeddings.0', 'embeddings.2', 'embeddings.4')


def reference(weights, log_mel):
    """VGGish written out layer by layer, one example at a time, from a plain state dict."""
    outputs = []
    for example in log_mel:
        x = example[None]
        for names in (CONV_NAMES[:1], CONV_NAMES[1:2], CONV_NAMES[2:4], CONV_NAMES[4:]):
            for name in names:
                x = F.conv2d(x, weights[f'{name}.weight'], weights[f'{name}.bias'], padding=1).clamp(min=0)
            x = F.max_pool2d(x, 2)
        _, channels, times, mels = x.shape
        flat = torch.stack([x[0, c, t, m] for t in range(times) for m in range(mels) for c in range(channels)])
        for name in LINEAR_NAMES:
            flat = (weights[f'{name}.weight'] @ flat + weights[f'{name}.bias']).clamp(min=0)
        outputs.append(flat)
    return torch.stack(outputs)


def test_matches_the_written_out_net():
    torch.manual_seed(0)
    model = VGGish(**SMALL).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    log_mel = torch.randn(3, 1, 96, 64, dtype=torch.float64)
    output = model(log_mel)
    assert output.shape == (3, 16)
    assert (output >= 0).all()
    assert 0 < (output == 0).sum() < output.numel(), 'the last ReLU must cut some values, and not all'
    torch.testing.assert_close(output, reference(model.state_dict(), log_mel), rtol=1e-12, atol=1e-12)


def test_full_net_has_the_published_names_and_size():
    with torch.device('meta'):
        model = VGGish(frozen=False)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    widths = [1, 64, 128, 256, 256, 512, 512]
    expected = {}
    for name, inputs, outputs in zip(CONV_NAMES, widths, widths[1:], strict=False):
        expected |= {f'{name}.weight': (outputs, inputs, 3, 3), f'{name}.bias': (outputs, )}
    for name, inputs, outputs in zip(LINEAR_NAMES, (12288, 4096, 4096), (4096, 4096, 128), strict=True):
        expected |= {f'{name}.weight': (outputs, inputs), f'{name}.bias': (outputs, )}
    assert shapes == expected
    by_arithmetic = sum(9 * a * b + b for a, b in itertools.pairwise(widths))
    by_arithmetic += 12288 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 128 + 128
    assert by_arithmetic == 72_141_184
    assert sum(p.numel() for p in model.parameters()) == by_arithmetic


def test_frozen_stays_in_eval_mode_without_gradients():
    model = VGGish(**SMALL | dict(frozen=True))
    model.train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    log_mel = torch.randn(1, 1, 96, 64, requires_grad=True)
    assert not model(log_mel).requires_grad


def test_trainable_net_learns_from_scratch():
    torch.manual_seed(0)
    model = VGGish(**SMALL)
    assert model.training
    log_mel = torch.randn(4, 1, 96, 64) * 2 - 2
    output = model(log_mel)
    assert output.std() > 0.1, 'the Kaiming initialisation must keep the signal alive'
    output.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_kaiming_scale():
    torch.manual_seed(0)
    model = VGGish(stage_channels=(16, 32, 64, 64), fc_channels=(256, 64, 16), frozen=False)
    weight = model.embeddings[2].weight
    assert weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.03)
    assert model.features[3].weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.05)
    assert model.embeddings[2].bias.abs().max() == 0


def test_pretrained_file_is_loaded_and_frozen(tmp_path):
    source = VGGish(**SMALL)
    path = tmp_path / 'vggish.pth'
    # The published file is of the time before torch's zip format.
    torch.save(source.state_dict(), path, _use_new_zipfile_serialization=False)
    model = MODELS.build(dict(type='mmavs.VGGish', **SMALL | dict(frozen=True),
                              init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    model.init_weights()
    assert model.is_init
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_with_random_weights_is_a_warning(monkeypatch, frozen):
    messages = []
    monkeypatch.setattr(vggish, 'print_log', lambda message, **options: messages.append(message))
    VGGish(**SMALL | dict(frozen=frozen)).init_weights()
    assert [message[:34] for message in messages] == ['VGGish is frozen with random weigh'] * frozen


def test_missing_file_says_where_to_get_it(tmp_path):
    model = VGGish(**SMALL, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'no.pth')))
    with pytest.raises(FileNotFoundError, match=r'VGGish are not at .*no\.pth.*harritaylor/torchvggish.*init_cfg=None'):
        model.init_weights()


def test_file_of_another_width_is_refused(tmp_path):
    path = tmp_path / 'wide.pth'
    torch.save(VGGish(**SMALL | dict(fc_channels=(24, 20, 12))).state_dict(), path)
    model = VGGish(**SMALL, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(ValueError, match=r'does not fit VGGish.*embeddings.4.bias \(12,\) instead of \(16,\)'):
        model.init_weights()


@pytest.mark.parametrize(('keywords', 'message'), [
    (dict(stage_channels=(4, 8)), 'stage_channels of VGGish must be 4 whole numbers'),
    (dict(fc_channels=(4, 0, 8)), r'fc_channels of VGGish must be 3 whole numbers of at least 1, but got \(4, 0, 8\)'),
    (dict(fc_channels=(4, 4.0, 8)), 'fc_channels of VGGish must be 3 whole numbers'),
    (dict(stage_channels=64), 'stage_channels of VGGish must be 4 whole numbers of at least 1, but got 64'),
])
def test_bad_widths(keywords, message):
    with pytest.raises(ValueError, match=message):
        VGGish(**keywords)


def test_bad_input_shape():
    with pytest.raises(ValueError, match=r'log_mel must have shape \(N, 1, 96, 64\), got \(2, 96, 64\)'):
        VGGish(**SMALL)(torch.zeros(2, 96, 64))
