"""A clip's prediction is the same alone and beside clips of other lengths, through the real backbones."""

import pytest
import torch

from mmavs.models.segmentors.av_segmentor import AVSegmentor
from mmavs.structures import AVDataSample

LENGTHS = (2, 5, 2, 1, 10)


def build(**settings):
    small = dict(d_state=2, drop_path_rate=0.)
    pixel_decoder = dict(type='mmavs.CIPPixelDecoder', channels=32, num_orders=2, **small)
    torch.manual_seed(0)
    model = AVSegmentor(
        backbone=dict(type='mmavs.PVTv2', arch='b0'), audio_backbone=dict(type='mmavs.VGGish'),
        neck=dict(type='mmavs.MTENeck', in_channels=(32, 64, 160, 256), out_channels=32, num_layers=1, **small),
        decode_head=dict(type='mmavs.MADHead', in_channels=(32,) * 4, channels=32, audio_channels=128, mlp_channels=8,
                         fc_channels=(8, 4), pixel_decoder=pixel_decoder, **small),
        data_preprocessor=dict(type='mmavs.AVDataPreprocessor'), **settings)
    return model.eval()


@pytest.fixture(scope='module')
def clips():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randint(0, 256, (length, 3, 64, 96), dtype=torch.uint8, generator=generator),
             torch.randn(length, 1, 96, 64, generator=generator)) for length in LENGTHS]


def predict(model, clips):
    """Samples of one batch; masks are cut at a level that some half of the pixels pass."""
    model.decode_head.threshold = 0.545
    frames, log_mels = zip(*clips, strict=True)
    return model.test_step(dict(inputs=dict(img=list(frames), audio=list(log_mels)),
                                data_samples=[AVDataSample() for _ in clips]))


def test_bit_by_bit(clips):
    model = build()
    alone = [predict(model, [clip])[0] for clip in clips]
    for order in ((0, 1, 2, 3, 4), (4, 2, 0, 3, 1), (1, 0)):
        for place, sample in zip(order, predict(model, [clips[place] for place in order]), strict=True):
            for field in ('seg_logits', 'pred_scores', 'pred_sem_seg'):
                assert torch.equal(sample.get(field).data, alone[place].get(field).data), (order, place, field)
    share = torch.cat([sample.pred_sem_seg.data for sample in alone]).float().mean()
    assert 0.2 < share < 0.8, 'the masks say nothing'


def test_as_one_batch_to_the_precision_of_float32(clips):
    """The network itself keeps clips apart, too; only the rounding of its matrix products sees the batch."""
    model, batched = build(), build(test_cfg=dict(mode='whole', clip_by_clip=False))
    frames = []
    for network in (model, batched):
        network.backbone.register_forward_hook(lambda module, arguments, output: frames.append(len(arguments[0])))
    results = predict(model, clips), predict(batched, clips)
    assert frames == [*LENGTHS, sum(LENGTHS)]
    for one, other in zip(*results, strict=True):
        # Measured: 1.2e-7.
        torch.testing.assert_close(other.pred_scores.data, one.pred_scores.data, rtol=0, atol=2e-6)
        clear = (one.pred_scores.data - 0.545).abs() > 2e-6
        assert torch.equal(other.pred_sem_seg.data[clear], one.pred_sem_seg.data[clear])
        assert clear.float().mean() > 0.999
