import pytest
import torch

from mmavs.models.pixel_decoders.cip_pixel_decoder import CIPPixelDecoder
from mmavs.models.pixel_decoders.fpn_pixel_decoder import FPNPixelDecoder

from ..layers.slow_reference import a2v, pre_norm, temporal_mamba
from .test_fpn_pixel_decoder import make_feats

SMALL = dict(channels=16, d_state=2, num_orders=2, drop_path_rate=0.)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts():
    temporal = 735_232 + 512
    assert count(CIPPixelDecoder()) == 8_962_304 - temporal
    assert count(CIPPixelDecoder(share_finest=False)) == 8_962_304
    assert count(CIPPixelDecoder(with_a2v=False)) == 8_962_304 - temporal - 4 * 701_952
    assert count(CIPPixelDecoder(with_temporal=False)) == 8_962_304 - 4 * temporal
    plain = CIPPixelDecoder(with_temporal=False, with_a2v=False)
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in FPNPixelDecoder().named_parameters()]


@pytest.mark.parametrize('share_finest', [True, False])
def test_equals_reference(share_finest):
    torch.manual_seed(0)
    decoder = CIPPixelDecoder(**SMALL, share_finest=share_finest).double()
    feats = [feature.double() for feature in make_feats(2, channels=16, side=8)]
    audio = torch.randn(2, 1, 16, dtype=torch.float64)
    fused = []
    for level, feature in enumerate(feats):
        x = decoder.laterals[level](feature).permute(0, 2, 3, 1)
        temporal = decoder.temporal_blocks[(0, 0, 1, 2)[level] if share_finest else level]
        x = x + temporal_mamba([pre_norm(x, temporal.norm)], temporal.block, 2)[0]
        fused.append(a2v(x, audio[:, 0], decoder.a2v_blocks[level]).permute(0, 3, 1, 2))
    upper = decoder.outputs[3](fused[3])
    for level in (2, 1, 0):
        upper = decoder.outputs[level](fused[level] + upper.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(decoder(feats, audio, [2]), decoder.mask_feature(upper), rtol=0, atol=1e-11)


def test_settings_reach_the_blocks():
    decoder = CIPPixelDecoder(16, num_orders=6, temporal_kernel=3, d_state=3, expand=3, dt_rank=4, drop_path_rate=0.2)
    block = decoder.temporal_blocks[0]
    assert block.block.orders == ('THW', 'TWH', 'HWT')
    assert block.block.conv.kernel_size == (3, 3, 3)
    assert block.drop_path.prob == decoder.a2v_blocks[0].drop_path.prob == 0.2
    for scan in (block.block.scan, decoder.a2v_blocks[3].scan):
        assert (scan.channels, scan.d_state, scan.dt_rank) == (48, 3, 4)
    # The number of orders concerns Temporal Mamba only.
    assert decoder.a2v_blocks[0].scan.num_orders == 4


def test_a_clip_does_not_depend_on_its_batch():
    torch.manual_seed(1)
    decoder, feats, audio = CIPPixelDecoder(**SMALL).eval(), make_feats(4, channels=16, side=8), torch.randn(4, 1, 16)
    with torch.no_grad():
        together = decoder(feats, audio, [3, 1])
        alone = decoder([feature[:3] for feature in feats], audio[:3], [3])
    torch.testing.assert_close(together[:3], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize('switches', [{}, dict(share_finest=False), dict(with_temporal=False), dict(with_a2v=False),
                                      dict(with_cp=True)])
def test_every_parameter_is_used(switches):
    torch.manual_seed(2)
    decoder = CIPPixelDecoder(**SMALL, **switches)
    audio = torch.randn(3, 1, 16, requires_grad=True)
    decoder(make_feats(3, channels=16), audio, [2, 1]).square().sum().backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None] == []
    assert (audio.grad is None) == (not decoder.with_a2v)


def test_checkpointing_changes_no_number():
    torch.manual_seed(3)
    decoder = CIPPixelDecoder(**{**SMALL, 'drop_path_rate': 0.3})
    feats, audio, results = make_feats(3, channels=16, side=8), torch.randn(3, 1, 16), []
    for decoder.with_cp in (False, True):
        decoder.zero_grad()
        torch.manual_seed(4)
        decoder(feats, audio, [2, 1]).square().mean().backward()
        results.append([parameter.grad.clone() for parameter in decoder.parameters()])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('num_orders', [1, 5, 14])
def test_impossible_number_of_orders(num_orders):
    with pytest.raises(ValueError, match='num_orders'):
        CIPPixelDecoder(16, num_orders=num_orders)
