"""The head: counts, losses, switches, independence of clips, errors."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData

from mmavs.models.decode_heads import mad_head
from mmavs.models.decode_heads.mad_head import MADHead
from mmavs.models.losses.dice_loss import AVSDiceLoss
from mmavs.structures import AVDataSample

from ..layers.slow_reference import v2a
from ..layers.test_visual_scan_block import randomise

CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)


def small(pixel_decoder=None, **settings):
    decoder = dict(type='mmavs.CIPPixelDecoder', channels=16, d_state=2, num_orders=2, drop_path_rate=0.)
    decoder = decoder | (pixel_decoder or {})
    defaults = dict(in_channels=(16,) * 4, channels=16, audio_channels=6, mlp_channels=12, fc_channels=(8, 4),
                    d_state=2, drop_path_rate=0., pixel_decoder=decoder)
    return MADHead(**{**defaults, **settings})


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def make_inputs(num_frames, side=16, channels=16):
    feats = [torch.randn(num_frames, channels, side >> i, side >> i) for i in range(4)]
    return feats, torch.randn(num_frames, 6)


def make_samples(lengths, size=64, classes=2):
    return [AVDataSample(gt_sem_seg=PixelData(data=torch.randint(0, classes, (t, size, size), dtype=torch.uint8)))
            for t in lengths]


def unused(head):
    return [name for name, parameter in head.named_parameters() if parameter.grad is None]


def test_parameter_counts():
    head = MADHead()
    parts = dict(audio_proj=33_024, layers=12 * 701_952, pixel_decoder=8_962_304 - 735_744,
                 predictor=4_724_992 + 331_968 - 32, conv_seg=32)
    assert {name: count(getattr(head, name)) for name in parts} == parts
    assert count(head) == sum(parts.values())
    # With the neck for PVTv2: 26,421,696 of the released code, less its unused parameters.
    assert count(head) + 265_216 + 2 * 1_839_872 == 25_684_928
    semantic = MADHead(num_classes=71, loss_decode=CROSS_ENTROPY)
    assert count(semantic) - count(head) == 334_208 - 331_968


def test_logits_at_input_size_and_deep_supervision_in_training_only():
    torch.manual_seed(0)
    head, (feats, audio) = small(), make_inputs(3)
    logits = head(feats, audio, [2, 1])
    assert [tuple(x.shape) for x in logits] == [(3, 1, 64, 64)] * 2
    assert (logits[0] - logits[1]).abs().max() > 1e-7
    head.eval()
    final = head(feats, audio, [2, 1])
    assert torch.equal(final, head.predict(feats, audio, [2, 1]))
    torch.testing.assert_close(final, logits[1])
    assert isinstance(small(deep_supervision_weight=0)(feats, audio, [2, 1]), torch.Tensor)


def test_equals_reference():
    torch.manual_seed(12)
    head, (feats, audio) = randomise(small()), make_inputs(3, side=8)
    feats, audio = [feature.double() for feature in feats], audio.double()
    initial = (audio @ head.audio_proj.weight.T + head.audio_proj.bias)[:, None]
    mask_feature = head.pixel_decoder(feats, initial, [2, 1])
    queries, expected = initial, []
    for layer in head.layers:
        # Strides 8, 16, 32 in turn; the next layer goes on from this one's queries, and both are decoded.
        for blocks, feature in zip(layer.levels, feats[1:], strict=True):
            for block in blocks:
                level = feature.permute(0, 2, 3, 1)
                queries = torch.cat([v2a(queries[clip], level[clip], block) for clip in (slice(0, 2), slice(2, 3))])
        expected.append(head.predictor(mask_feature, queries, head.conv_seg))
    for logits, wanted in zip(head(feats, audio, [2, 1]), expected, strict=True):
        torch.testing.assert_close(logits, wanted, rtol=1e-11, atol=1e-11)


def test_the_pixel_decoder_gets_the_initial_audio():
    torch.manual_seed(1)
    head, (feats, audio) = small().eval(), make_inputs(2)
    seen = []
    head.pixel_decoder.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    head(feats, audio, [2])
    assert torch.equal(seen[0], head.audio_proj(audio)[:, None])


def test_dice_losses_are_those_of_the_logits():
    torch.manual_seed(2)
    head, (feats, audio) = small(deep_supervision_weight=0.5), make_inputs(3)
    samples = make_samples([2, 1])
    samples[0].gt_sem_seg.data[1] = 255
    losses = head.loss(feats, audio, [2, 1], samples)
    target = torch.cat([sample.gt_sem_seg.data for sample in samples]).long()
    first, last = (AVSDiceLoss()(x, target) for x in head(feats, audio, [2, 1]))
    assert set(losses) == {'d0.loss_dice', 'loss_dice'}
    assert losses['loss_dice'].item() == pytest.approx(last.item(), abs=1e-6)
    assert losses['d0.loss_dice'].item() == pytest.approx(0.5 * first.item(), abs=1e-6)


def test_cross_entropy_is_the_mean_over_labelled_pixels(monkeypatch):
    torch.manual_seed(3)
    head, (feats, audio) = small(num_classes=5, loss_decode=CROSS_ENTROPY), make_inputs(3)
    samples = make_samples([2, 1], classes=5)
    samples[0].gt_sem_seg.data[0, :40] = 255
    losses = head.loss(feats, audio, [2, 1], samples)
    target = torch.cat([sample.gt_sem_seg.data for sample in samples]).long()
    expected = [F.cross_entropy(x, target, ignore_index=255).item() for x in head(feats, audio, [2, 1])]
    assert [losses['d0.loss_ce'].item(), losses['loss_ce'].item()] == pytest.approx(expected, abs=1e-5)
    # Another process with three times as many labels: the mean count over both is twice this one's.
    monkeypatch.setattr(mad_head, 'mean_over_ranks', lambda pixels: 2 * pixels)
    assert head.loss(feats, audio, [2, 1], samples)['loss_ce'].item() == pytest.approx(expected[1] / 2, abs=1e-5)


def test_several_losses_add_up_by_name():
    torch.manual_seed(4)
    losses = [dict(type='mmavs.AVSDiceLoss'), dict(type='mmavs.AVSDiceLoss', loss_weight=2.),
              dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)]
    head, (feats, audio) = small(loss_decode=losses), make_inputs(1)
    samples = make_samples([1])
    result = head.loss(feats, audio, [1], samples)
    assert set(result) == {'d0.loss_dice', 'd0.loss_ce', 'loss_dice', 'loss_ce'}
    logits, target = head(feats, audio, [1])[-1], samples[0].gt_sem_seg.data
    assert result['loss_dice'].item() == pytest.approx(3 * AVSDiceLoss()(logits, target).item(), abs=1e-5)
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], target.float()).item()
    assert result['loss_ce'].item() == pytest.approx(entropy, abs=1e-5)


def test_logits_are_resized_to_the_labels():
    torch.manual_seed(5)
    head, (feats, audio) = small(num_layers=1), make_inputs(1)
    samples = make_samples([1], size=50)
    resized = F.interpolate(head(feats, audio, [1])[0], size=(50, 50), mode='bilinear', align_corners=False)
    expected = AVSDiceLoss()(resized, samples[0].gt_sem_seg.data).item()
    assert head.loss(feats, audio, [1], samples)['loss_dice'].item() == pytest.approx(expected, abs=1e-6)


def test_soft_labels_pass_through():
    torch.manual_seed(6)
    head, (feats, audio) = small(num_layers=1), make_inputs(1)
    target = torch.rand(1, 64, 64)
    loss = head.loss(feats, audio, [1], [AVDataSample(gt_sem_seg=PixelData(data=target))])['loss_dice']
    assert loss.item() == pytest.approx(AVSDiceLoss()(head(feats, audio, [1])[0], target).item(), abs=1e-6)


@pytest.mark.parametrize('settings', [
    {}, dict(num_layers=0), dict(num_layers=1), dict(frame_level=False), dict(temporal_level=False),
    dict(num_queries=3), dict(deep_supervision_weight=0), dict(with_cp=True), dict(mask_mlp='piecewise'),
    dict(num_classes=3, loss_decode=CROSS_ENTROPY), dict(pixel_decoder=dict(with_temporal=False)),
    dict(pixel_decoder=dict(with_a2v=False)), dict(pixel_decoder=dict(share_finest=False)),
])
def test_every_parameter_is_used(settings):
    torch.manual_seed(7)
    head, (feats, audio) = small(**settings), make_inputs(3)
    sum(head.loss(feats, audio, [2, 1], make_samples([2, 1])).values()).backward()
    assert unused(head) == []


def test_plain_pyramid_in_place_of_cip():
    head, (feats, audio) = small(), make_inputs(2)
    head = MADHead((16,) * 4, 16, 6, mlp_channels=12, d_state=2, pixel_decoder=dict(
        type='mmavs.FPNPixelDecoder', channels=16))
    sum(head.loss(feats, audio, None, make_samples([1, 1])).values()).backward()
    assert unused(head) == []


def test_without_layers_the_audio_itself_is_decoded():
    torch.manual_seed(8)
    head, (feats, audio) = small(num_layers=0).eval(), make_inputs(2)
    projected = head.audio_proj(audio)[:, None]
    expected = head.predictor(head.pixel_decoder(feats, projected, [2]), projected, head.conv_seg)
    assert torch.equal(head(feats, audio, [2]), expected)
    assert count(head.layers) == 0
    head.train()
    assert set(head.loss(feats, audio, [2], make_samples([2]))) == {'loss_dice'}


@pytest.mark.parametrize('num_queries', [1, 2])
def test_a_clip_does_not_depend_on_its_batch(num_queries):
    torch.manual_seed(9)
    head, (feats, audio) = small(num_queries=num_queries).eval(), make_inputs(6)
    with torch.no_grad():
        together = head(feats, audio, [3, 1, 2])
        for start, stop in ((0, 3), (3, 4), (4, 6)):
            alone = head([x[start:stop] for x in feats], audio[start:stop], [stop - start])
            torch.testing.assert_close(together[start:stop], alone, rtol=0, atol=1e-6)


def test_checkpointing_changes_no_number():
    torch.manual_seed(10)
    feats, audio = make_inputs(2)
    samples, heads = make_samples([2]), [small(), small(with_cp=True)]
    heads[1].load_state_dict(heads[0].state_dict())
    for head in heads:
        sum(head.loss(feats, audio, [2], samples).values()).backward()
    for a, b in zip(*(head.parameters() for head in heads), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-7)


def test_bfloat16_autocast_trains():
    torch.manual_seed(11)
    head, (feats, audio) = small(), make_inputs(2)
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(feats, audio, [2], make_samples([2]))
    sum(losses.values()).backward()
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(in_channels=(16, 16, 16)), r'in_channels of MADHead .* must be 4 whole numbers'),
    (dict(in_channels=(16, 16, 16, 8)), r'got \(16, 16, 16, 8\)'),
    (dict(num_classes=0), 'num_classes of MADHead must be a whole number of at least 1, but got 0'),
    (dict(num_layers=-1), 'num_layers of MADHead must be a whole number of at least 0, but got -1'),
    (dict(num_queries=0), 'num_queries of MADHead must be a whole number of at least 1, but got 0'),
    (dict(deep_supervision_weight=-1), 'deep_supervision_weight of MADHead must be a number of at least 0'),
    (dict(num_layers=1.5), 'num_layers of MADHead must be a whole number of at least 0, but got 1.5'),
    (dict(in_channels=16), 'in_channels of MADHead .* must be 4 whole numbers of at least 1, but got 16'),
    (dict(mlp_channels=0), 'mlp_channels must be a whole number of at least 1, but got 0'),
    (dict(fc_channels=(0, 4)), r'fc_channels must be 2 whole numbers of at least 1, but got \(0, 4\)'),
    (dict(threshold=5), r'threshold of MADHead \(a probability\) must be a number in \[0, 1\], but got 5'),
    (dict(threshold=None), 'threshold of MADHead .* but got None'),
    (dict(d_state='2'), "d_state of a scan must be a whole number of at least 1, but got '2'"),
    (dict(frame_level=False, temporal_level=False), 'set num_layers=0'),
    (dict(num_classes=71), "AVSDiceLoss is for num_classes=1, but MADHead has num_classes=71: set loss_decode"),
    (dict(num_classes=2), 'AVSDiceLoss is for num_classes=1, but MADHead has num_classes=2'),
    (dict(loss_decode=CROSS_ENTROPY), 'softmax cross-entropy over num_classes=1 is always zero'),
    (dict(loss_decode=dict(type='mmseg.DiceLoss')), "mmseg's DiceLoss does not learn masks with num_classes=1"),
    (dict(loss_decode=[dict(type='mmseg.TverskyLoss')]), "mmseg's TverskyLoss does not"),
    (dict(pixel_decoder=dict(channels=32)), 'pixel_decoder.channels must equal channels=16 of MADHead, but got 32'),
    (dict(mask_mlp='quick'), 'mask_mlp must be one of'),
])
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_unfitting_inputs():
    head, (feats, audio) = small(), make_inputs(2)
    with pytest.raises(ValueError, match=r'got maps of \(8, 8, 8, 8\) channels: put neck='):
        head(make_inputs(2, channels=8)[0], audio)
    with pytest.raises(ValueError, match=r'shape \(2, 6\), but got \(1, 6\)'):
        head(feats, audio[:1])
    with pytest.raises(ValueError, match='clip_lengths must be positive and sum to the 2 frames'):
        head(feats, audio, [1])


def test_unfitting_labels():
    head, (feats, audio) = small(), make_inputs(2)
    with pytest.raises(ValueError, match='the labels hold class 2, but the head has num_classes=1'):
        head.loss(feats, audio, [2], [AVDataSample(gt_sem_seg=PixelData(data=torch.full((2, 64, 64), 2)))])
    with pytest.raises(ValueError, match=r'shape \(1, 64, 64\) together, but the batch has 2 frames'):
        head.loss(feats, audio, [2], make_samples([1]))


def test_exported_and_traced_programs_give_the_heads_logits():
    torch.manual_seed(0)
    head, (feats, audio) = small().eval(), make_inputs(2, side=32)
    with torch.no_grad():
        # By linear pieces, whose number no program can hold.
        expected = head(feats, audio, [2])
        exported = torch.export.export(head, (feats, audio, [2])).module()(feats, audio, [2])

        class Positional(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.head = head

            def forward(self, audio, *feats):
                return self.head(feats, audio, [2])

        traced = torch.jit.trace(Positional(), (audio, *feats))(audio, *feats)
    torch.testing.assert_close(exported, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(traced, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_weights(dtype):
    torch.manual_seed(0)
    head, (feats, audio) = small().eval(), make_inputs(2, side=32)
    with torch.no_grad():
        expected = head(feats, audio, [2])
        logits = head.to(dtype)([feature.to(dtype) for feature in feats], audio.to(dtype), [2])
    assert logits.dtype == dtype
    bound = 32 * torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=bound)
