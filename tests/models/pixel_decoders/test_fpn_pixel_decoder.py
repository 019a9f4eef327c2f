import math

import pytest
import torch
import torch.nn.functional as F

from mmavs.models.pixel_decoders.fpn_pixel_decoder import FPNPixelDecoder


def make_feats(num_frames, channels=8, side=16):
    return [torch.randn(num_frames, channels, side >> i, side >> i) for i in range(4)]


def test_parameter_count_and_start_values():
    torch.manual_seed(0)
    decoder = FPNPixelDecoder()
    # Four laterals, four outputs without bias, the mask feature with one.
    assert sum(p.numel() for p in decoder.parameters()) == 4 * 256**2 + 4 * 9 * 256**2 + 9 * 256**2 + 256
    # Kaiming-uniform with a = 1 over the fan-in: bound sqrt(3 / fan_in).
    assert decoder.laterals[0].weight.abs().max().item() == pytest.approx(math.sqrt(3 / 256), rel=1e-3)
    assert decoder.outputs[2][0].weight.abs().max().item() == pytest.approx(math.sqrt(3 / 2304), rel=1e-3)
    assert decoder.mask_feature.weight.abs().max().item() == pytest.approx(math.sqrt(3 / 2304), rel=1e-3)
    assert torch.count_nonzero(decoder.mask_feature.bias) == 0


def test_equals_explicit_pyramid():
    torch.manual_seed(1)
    decoder, feats = FPNPixelDecoder(8), make_feats(2)
    upper = None
    for level in (3, 2, 1, 0):
        merged = F.conv2d(feats[level], decoder.laterals[level].weight)
        if upper is not None:
            merged = merged + upper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        upper = F.conv2d(merged, decoder.outputs[level][0].weight, padding=1).relu()
    expected = F.conv2d(upper, decoder.mask_feature.weight, decoder.mask_feature.bias, padding=1)
    torch.testing.assert_close(decoder(feats, torch.zeros(2, 1, 8)), expected, rtol=1e-5, atol=1e-6)


def test_audio_and_clips_make_no_difference():
    decoder, feats = FPNPixelDecoder(8), make_feats(2)
    assert torch.equal(decoder(feats, torch.zeros(2, 1, 8), [2]), decoder(feats, torch.ones(2, 1, 8)))


def test_sizes_that_are_not_halves_of_each_other():
    decoder = FPNPixelDecoder(8)
    feats = [torch.randn(1, 8, *size) for size in ((9, 7), (5, 4), (3, 2), (2, 1))]
    assert decoder(feats, torch.zeros(1, 1, 8)).shape == (1, 8, 9, 7)


def test_errors():
    with pytest.raises(ValueError, match='channels of FPNPixelDecoder must be a whole number of at least 1, but got 0'):
        FPNPixelDecoder(0)
    with pytest.raises(ValueError, match=r'needs 4 maps of 8 channels, but got maps of \(8, 8, 8\) channels'):
        FPNPixelDecoder(8)(make_feats(1)[:3], torch.zeros(1, 1, 8))
