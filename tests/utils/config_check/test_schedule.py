import pytest
import torch
from mmengine.structures import PixelData

from mmavs.registry import METRICS
from mmavs.structures import AVDataSample
from mmavs.utils.config_check.nodes import ConfigMistakeError
from mmavs.utils.config_check.schedule import SCORES, check_save_best


def sample() -> dict:
    """A clip of two frames, one of them silent, predicted right."""
    mask = torch.zeros(2, 4, 4, dtype=torch.uint8)
    mask[0, :2] = 1
    found = AVDataSample(metainfo=dict(video_id='a'))
    found.gt_sem_seg = found.pred_sem_seg = PixelData(data=mask)
    found.pred_scores = PixelData(data=mask.float())
    return found.to_dict()


@pytest.mark.parametrize('name', SCORES)
@pytest.mark.parametrize('prefix', [None, 'mine'])
def test_the_listed_scores_are_those_that_the_metric_reports(name, prefix):
    metric = METRICS.build(dict(type=f'mmavs.{name}', prefix=prefix))
    metric.process({}, [sample()])
    default, names = SCORES[name]
    found = metric.evaluate(1)
    assert list(found) == [f'{prefix or default}/{score}' for score in names]
    for score in found:
        check_save_best(dict(checkpoint=dict(save_best=score)), dict(type=f'mmavs.{name}', prefix=prefix))


@pytest.mark.parametrize(('save_best', 'evaluator'), [
    ('auto', dict(type='mmavs.AVSMetric')), (None, dict(type='mmavs.AVSMetric')),
    ('mIoU', dict(type='mmseg.IoUMetric')),
    ('mIoU', [dict(type='mmavs.AVSMetric'), dict(type='mmseg.IoUMetric')]), ('x/y', None),
    (['avs/J', 'fp/area'], [dict(type='mmavs.AVSMetric'), dict(type='mmavs.FalsePositiveMetric')])])
def test_what_is_right_or_cannot_be_known(save_best, evaluator):
    check_save_best(dict(checkpoint=dict(save_best=save_best)), evaluator)


def test_the_default_prefix_does_not_count_where_another_is_set():
    with pytest.raises(ConfigMistakeError, match=r"save_best='avs/J': .*; it reports mine/J, mine/F"):
        check_save_best(dict(checkpoint=dict(save_best='avs/J')), dict(type='mmavs.AVSMetric', prefix='mine'))
