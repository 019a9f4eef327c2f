"""The whole segmentor on a small backbone: a clip in, losses and masks out."""

import pytest
import torch
from mmengine.structures import PixelData
from torch import nn

from mmavs.evaluation import AVSMetric
from mmavs.models.segmentors.av_segmentor import AVSegmentor
from mmavs.registry import MODELS
from mmavs.structures import AVDataSample

from ...evaluation import slow_reference as slow


@MODELS.register_module()
class TinyAudioNet(nn.Module):
    """Stands in for VGGish: two means for each frame."""

    def forward(self, audio):
        return torch.stack([audio.mean((1, 2, 3)), audio.square().mean((1, 2, 3))], dim=1)


@MODELS.register_module()
class TinyPyramid(nn.Module):
    """Four maps at strides 4 to 32."""

    def __init__(self, channels=8):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else channels, channels, 4 if i == 0 else 2,
                                             stride=4 if i == 0 else 2) for i in range(4))

    def forward(self, img):
        feats = []
        for conv in self.convs:
            img = conv(img)
            feats.append(img)
        return tuple(feats)


def build(neck=True, head=None, **settings):
    small = dict(d_state=2, drop_path_rate=0.)
    pixel_decoder = dict(type='mmavs.CIPPixelDecoder', channels=32, num_orders=2, **small)
    head = dict(type='mmavs.MADHead', in_channels=(32,) * 4, channels=32, audio_channels=2, mlp_channels=8,
                fc_channels=(8, 4), pixel_decoder=pixel_decoder, **small) | (head or {})
    neck = dict(type='mmavs.MTENeck', in_channels=(8,) * 4, out_channels=32, num_layers=1, **small) if neck else None
    model = dict(backbone=dict(type='mmavs.TinyPyramid'), audio_backbone=dict(type='mmavs.TinyAudioNet'), neck=neck,
                 decode_head=head, data_preprocessor=dict(type='mmavs.AVDataPreprocessor')) | settings
    torch.manual_seed(0)
    return AVSegmentor(**model)


def make_data(lengths, size=64, classes=2, **meta):
    samples = [AVDataSample(gt_sem_seg=PixelData(data=torch.randint(0, classes, (t, size, size), dtype=torch.uint8)),
                            metainfo=dict(ori_shape=(size, size), **meta)) for t in lengths]
    inputs = dict(img=[torch.randint(0, 256, (t, 3, size, size), dtype=torch.uint8) for t in lengths],
                  audio=[torch.randn(t, 1, 96, 64) for t in lengths])
    return dict(inputs=inputs, data_samples=samples)


def test_train_step_lowers_the_loss_and_reaches_every_parameter():
    model, data = build(), make_data([2, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    values = []
    for _ in range(4):
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        assert set(losses) == {'decode.d0.loss_dice', 'decode.loss_dice'}
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0] - 0.01


def test_predictions_have_the_original_size_and_are_those_of_the_logits():
    model, data = build().eval(), make_data([2, 1])
    for sample in data['data_samples']:
        sample.set_metainfo(dict(ori_shape=(40, 50)))
    with torch.no_grad():
        samples = model.test_step(data)
        logits = model(**model.data_preprocessor(data), mode='tensor')
    assert logits.shape == (3, 1, 64, 64)
    score = nn.functional.interpolate(logits, size=(40, 50), mode='bilinear', align_corners=False).sigmoid()[:, 0]
    for sample, expected in zip(samples, score.split([2, 1]), strict=True):
        assert sample.pred_sem_seg.data.dtype == torch.uint8
        torch.testing.assert_close(sample.pred_scores.data, expected)
        assert torch.equal(sample.pred_sem_seg.data, (sample.pred_scores.data > 0.5).byte())


def test_threshold_is_the_heads():
    data = make_data([1])
    for threshold, share in ((0., 1.), (1., 0.)):
        sample, = build(head=dict(threshold=threshold)).eval().test_step(data)
        assert sample.pred_sem_seg.data.float().mean().item() == share
    assert build().decode_head.threshold == 0.5


@pytest.mark.parametrize(('direction', 'dims'), [('horizontal', (2,)), ('vertical', (1,)), ('diagonal', (1, 2))])
def test_flips_are_undone(direction, dims):
    model, data = build().eval(), make_data([2])
    plain = model.test_step(data)[0].pred_scores.data.clone()
    data['data_samples'][0].set_metainfo(dict(flip=True, flip_direction=direction))
    assert torch.equal(model.test_step(data)[0].pred_scores.data, plain.flip(dims))


def test_flips_of_single_frames_are_undone():
    model, data = build().eval(), make_data([3])
    plain = model.test_step(data)[0].pred_scores.data.clone()
    data['data_samples'][0].set_metainfo(dict(flip=[True, False, True], flip_direction='horizontal'))
    expected = torch.stack([plain[0].flip(1), plain[1], plain[2].flip(1)])
    assert torch.equal(model.test_step(data)[0].pred_scores.data, expected)
    assert not torch.equal(expected[1], expected[1].flip(1))
    # What ClipRandomFlip(per_frame=True) says of a clip without any flip.
    data['data_samples'][0].set_metainfo(dict(flip=[False] * 3, flip_direction=None))
    assert torch.equal(model.test_step(data)[0].pred_scores.data, plain)


@pytest.mark.parametrize(('meta', 'message'), [
    (dict(flip=True, flip_direction='around'), r"flip_direction must be one of .* but got 'around'"),
    (dict(flip=[True, False], flip_direction='horizontal'), r'one for each of the 1 frames, but got \[True, False\]'),
])
def test_unfitting_flips(meta, message):
    with pytest.raises(ValueError, match=message):
        build().eval().test_step(make_data([1], **meta))


def test_scores_at_another_size_come_from_the_logits_of_the_head(monkeypatch):
    """Logits of 64 x 64 and masks of 28 x 28, scored at 64: as if the masks' size had never been in between."""
    generator = torch.Generator().manual_seed(0)
    model, data = build().eval(), make_data([2, 3], size=28, flip=True, flip_direction='horizontal')
    coarse = nn.functional.interpolate(torch.randn(5, 1, 7, 7, generator=generator), size=64, mode='bilinear')
    logits = coarse + torch.randn(5, 1, 64, 64, generator=generator)
    of_length = {2: logits[:2], 3: logits[2:]}
    monkeypatch.setattr(model, 'encode_decode', lambda inputs: of_length[len(inputs['img'])])
    masks = (coarse.flip(3)[:, 0, 4:60:2, 4:60:2] > 0.3).byte()
    metric = AVSMetric(eval_size=64)
    samples = model.test_step(data)
    for index, (sample, target) in enumerate(zip(samples, masks.split([2, 3]), strict=True)):
        sample.gt_sem_seg = PixelData(data=target)
        sample.set_metainfo(dict(video_id=f'clip {index}'))
        metric.process(None, [sample.to_dict()])
    scores = metric.evaluate(2)
    truth = nn.functional.interpolate(masks[:, None].float(), size=64, mode='nearest')[:, 0]

    def expected(probabilities):
        frames = list(zip(probabilities, truth, strict=True))
        return [100 * sum(slow.iou_of_frame(*frame) for frame in frames) / 5,
                50 * (slow.f_of_frames(frames[:2]) + slow.f_of_frames(frames[2:]))]

    found = [scores[name] for name in ('avs/J', 'avs/F')]
    assert found == pytest.approx(expected(logits.flip(3)[:, 0].sigmoid()), abs=1e-9)
    # Twice resized, the noise would be smoothed away, and the score far too good.
    small = torch.cat([sample.pred_scores.data for sample in samples]).double().logit()
    twice = nn.functional.interpolate(small[:, None], size=64, mode='bilinear')[:, 0].sigmoid()
    assert expected(twice)[0] > found[0] + 5


def test_neck_and_head_get_the_clip_lengths():
    model, data = build().eval(), make_data([2, 1])
    inputs = model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        feats, audio = model.extract_feat(inputs)
        single = model.neck(model.backbone(inputs['img']))
        for a, b, c in zip(feats, model.neck(model.backbone(inputs['img']), [2, 1]), single, strict=True):
            assert torch.equal(a, b)
            # The finest level is not encoded, and the last frame is a clip of one in both.
            assert torch.equal(a[:2], c[:2]) == (a.shape[2] == 16)
            torch.testing.assert_close(a[2:], c[2:], rtol=0, atol=1e-6)
        assert torch.equal(model(inputs, mode='tensor'), model.decode_head(feats, audio, [2, 1]))
        assert not torch.equal(model.decode_head(feats, audio), model.decode_head(feats, audio, [2, 1]))


def test_sound_changes_the_mask():
    model, data = build().eval(), make_data([2])
    before = model.test_step(data)[0].pred_scores.data.clone()
    data['inputs']['audio'][0][1] += 5
    assert (model.test_step(data)[0].pred_scores.data - before).abs().max() > 1e-6


def test_semantic_head_predicts_classes_without_scores():
    head = dict(num_classes=4, loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True))
    model, data = build(head=head), make_data([1, 2], classes=4)
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert set(losses) == {'decode.d0.loss_ce', 'decode.loss_ce'}
    samples = model.eval().test_step(data)
    logits = model(**model.data_preprocessor(data), mode='tensor')
    assert torch.equal(samples[1].pred_sem_seg.data, logits[1:].argmax(1).byte())
    assert 'pred_scores' not in samples[1]
    assert 'seg_logits' not in samples[1]


def test_predicts_without_samples_and_without_clip_lengths():
    model, data = build().eval(), make_data([1, 1])
    inputs = model.data_preprocessor(data)['inputs']
    del inputs['clip_lengths']
    samples = model(inputs, mode='predict')
    assert [tuple(sample.pred_sem_seg.data.shape) for sample in samples] == [(1, 64, 64)] * 2


def test_without_neck_the_channels_must_match():
    head = dict(in_channels=(8,) * 4, channels=8, pixel_decoder=dict(type='mmavs.FPNPixelDecoder', channels=8))
    data = make_data([1])
    model = build(neck=False, head=head)
    assert model(**model.data_preprocessor(data, True), mode='loss')['decode.loss_dice'] > 0
    with pytest.raises(ValueError, match=r'built for in_channels=\(32, 32, 32, 32\), but got maps of \(8, 8, 8, 8\)'):
        build(neck=False).test_step(data)


def test_neck_and_head_must_match():
    head = dict(in_channels=(64,) * 4, channels=64, pixel_decoder=dict(type='mmavs.CIPPixelDecoder', channels=64))
    with pytest.raises(ValueError, match=r'neck.out_channels=32 does not fit decode_head.in_channels=\(64, 64'):
        build(head=head)


def test_sliding_window_is_refused():
    with pytest.raises(ValueError, match=r"test_cfg.mode must be 'whole', but got 'slide'"):
        build(test_cfg=dict(mode='slide'))
    with pytest.raises(ValueError, match='may have the keys mode and clip_by_clip, but has mode, stride'):
        build(test_cfg=dict(mode='whole', stride=3))


def test_unfitting_inputs():
    model = build().eval()
    with pytest.raises(ValueError, match=r"makes, but got \['img'\]"):
        model(dict(img=torch.zeros(1, 3, 64, 64)), mode='tensor')
    with pytest.raises(ValueError, match='makes, but got Tensor'):
        model(torch.zeros(1, 3, 64, 64), mode='tensor')
    inputs = dict(img=torch.zeros(2, 3, 64, 64), audio=torch.zeros(1, 1, 96, 64))
    for mode in ('tensor', 'predict'):
        with pytest.raises(ValueError, match='the batch has 2 frames and 1 log-mels'):
            model(inputs, mode=mode)
    inputs = dict(img=torch.zeros(2, 3, 64, 64), audio=torch.zeros(2, 1, 96, 64))
    with pytest.raises(ValueError, match='the batch has 2 clips but 1 data samples'):
        model(inputs, [AVDataSample()], mode='predict')
