from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmavs.apis.clips import Clip
from mmavs.apis.pipeline import ClipPipeline
from mmavs.apis.stage_timer import StageTimer
from mmavs.datasets.transforms import vggish_log_mel

from .media import picture, tone
from .stand_in import config


def make_clip(pipeline, seconds=2):
    frames = [pipeline.shrink(picture(index)) for index in range(seconds)]
    return Clip('name', list(range(seconds)), [Fraction(k) for k in range(seconds)], frames, tone(seconds, 16000)[0],
                16000, seconds)


def test_a_clip_is_prepared_as_a_dataset_item(tmp_path):
    pipeline, timer = ClipPipeline.from_config(config(scale=(40, 24))), StageTimer()
    packed = pipeline(make_clip(pipeline), (48, 64), timer)
    expected = cv2.resize(picture(1)[..., ::-1], (40, 24), interpolation=cv2.INTER_LINEAR)
    assert packed['inputs']['img'].shape == (2, 3, 24, 40)
    assert np.array_equal(packed['inputs']['img'][1].permute(1, 2, 0), expected)
    reference = vggish_log_mel(np.pad(tone(2, 16000)[0], (0, 4000)), 16000)[:2, None]
    assert torch.equal(packed['inputs']['audio'], torch.from_numpy(reference))
    sample = packed['data_samples']
    assert (sample.video_id, sample.ori_shape, sample.img_shape, sample.flip) == ('name', (48, 64), (24, 40), False)
    assert set(timer.seconds) == {'log-mel', 'prepare'}


def test_shrinking_twice_changes_nothing():
    for keep_ratio in (False, True):
        cfg = config()
        cfg.test_dataloader.dataset.pipeline[1].update(scale=(33, 17), keep_ratio=keep_ratio)
        pipeline = ClipPipeline.from_config(cfg)
        once = pipeline.shrink(picture(0, 71, 53))
        assert np.array_equal(pipeline.shrink(once[..., ::-1]), once)


def test_without_resizing_pictures_keep_their_size():
    cfg = config()
    del cfg.test_dataloader.dataset.pipeline[1]
    pipeline = ClipPipeline.from_config(cfg)
    assert np.array_equal(pipeline.shrink(picture(0)), picture(0)[..., ::-1])
    sample = pipeline(make_clip(pipeline), (24, 32), StageTimer())['data_samples']
    assert (sample.img_shape, sample.ori_shape) == (picture(0).shape[:2], (24, 32))


def test_pipeline_beside_the_loader():
    whole = config()
    cfg = Config(dict(test_pipeline=whole.test_dataloader.dataset.pipeline))
    assert [type(transform).__name__ for transform in ClipPipeline.from_config(cfg).transforms] == [
        'ClipResize', 'LogMelSpectrogram', 'PackAVSInputs']


def test_config_without_a_pipeline():
    with pytest.raises(ValueError, match='so it does not say how frames and sound are prepared'):
        ClipPipeline.from_config(Config(dict(model=dict())))
