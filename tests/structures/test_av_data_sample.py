import pytest
import torch
from mmengine.structures import PixelData

from mmavs.structures import AVDataSample


def pixel_data(*shape: int, dtype: torch.dtype = torch.uint8) -> PixelData:
    return PixelData(data=torch.zeros(shape, dtype=dtype))


def test_fields_keep_time_as_the_leading_axis():
    sample = AVDataSample(metainfo=dict(video_id='a'))
    sample.gt_sem_seg = pixel_data(5, 6, 8)
    sample.pred_scores = pixel_data(5, 6, 8, dtype=torch.float32)
    assert sample.gt_sem_seg.data.shape == (5, 6, 8)
    assert sample.pred_scores.data.dtype == torch.float32
    assert sample.num_frames == 5


def test_to_dict_is_what_metrics_read():
    sample = AVDataSample(metainfo=dict(video_id='a'))
    sample.gt_sem_seg = pixel_data(2, 3, 4)
    sample.pred_sem_seg = pixel_data(2, 3, 4)
    sample.pred_scores = PixelData(data=torch.full((2, 3, 4), 0.25))
    content = sample.to_dict()
    assert set(content) == {'video_id', 'gt_sem_seg', 'pred_sem_seg', 'pred_scores'}
    assert content['pred_scores']['data'].sum().item() == 24 * 0.25


@pytest.mark.parametrize('field', ['gt_sem_seg', 'pred_sem_seg', 'pred_scores'])
def test_num_frames_from_any_field(field):
    sample = AVDataSample()
    setattr(sample, field, pixel_data(10, 2, 2))
    assert sample.num_frames == 10


def test_num_frames_from_the_paths_at_inference():
    assert AVDataSample(metainfo=dict(img_path=['a', 'b', 'c'])).num_frames == 3


def test_num_frames_unknown_is_an_error():
    with pytest.raises(AttributeError, match='neither gt_sem_seg'):
        _ = AVDataSample().num_frames


def test_pred_scores_must_be_pixel_data_and_can_be_deleted():
    sample = AVDataSample()
    with pytest.raises(AssertionError):
        sample.pred_scores = torch.zeros(2, 3, 4)
    sample.pred_scores = pixel_data(2, 3, 4, dtype=torch.float32)
    del sample.pred_scores
    assert 'pred_scores' not in sample
