import dataclasses

import numpy as np
import pytest
import torch

from mmavs.evaluation import AVSMetric
from mmavs.evaluation.bootstrap import bootstrap_interval, resample
from mmavs.evaluation.metrics.binary_scores import binary_statistics, sum_clips
from mmavs.evaluation.metrics.presets import BINARY_PRESETS

from .. import slow_reference as slow
from .samples import binary_clips, to_sample

PRESETS = [*(name for name in BINARY_PRESETS if name != 'batch_mean'), 'batch_mean']


def make_records(clips):
    metric = AVSMetric()
    metric.process(None, [to_sample(clip) for clip in clips])
    return metric.results


def find(name):
    preset = BINARY_PRESETS[name]
    return dataclasses.replace(preset, group_size=3) if preset.batch_mean else preset


def test_record():
    target, scores = torch.zeros(3, 4, 5, dtype=torch.uint8), torch.zeros(3, 4, 5)
    target[1, 0] = 1
    scores[:2, :2] = 0.7
    record, = make_records([dict(video_id='a', scores=scores, target=target)])
    assert record.iou == pytest.approx([10 / 20, 5 / 10, 1])
    assert record.sounding.tolist() == [False, True, False]
    assert record.false_positive_area.tolist() == [0.5, 0]
    best = 1.3 * 0.5 / (0.3 * 0.5 + 1)
    assert record.curves.shape == (1, 255)
    assert (record.curves.max(), record.curves[0, 100]) == pytest.approx((best, best))
    assert record.curves[0, 200] == 0


def test_sums_of_a_clip():
    target, scores = torch.zeros(3, 4, 5, dtype=torch.uint8), torch.zeros(3, 4, 5)
    target[1:, 0] = 1
    scores[:2, :2], scores[2, 0] = 0.7, 0.9
    records = make_records([dict(video_id='a', scores=scores, target=target)])
    sums = sum_clips(records, find('avsbench'))
    # Below 0.7 the mean curve is that of P = 1/2 and of P = 1.
    best = (1.3 * 0.5 / (0.3 * 0.5 + 1) + 1) / 2
    assert {name: values.item() for name, values in sums.items()} == pytest.approx(dict(
        frames=3, iou=0.5 + 0.5 + 1, sounding=2, iou_sounding=1.5, silent=1, false_area=0.5, clean=0, best_f=best))
    assert sum_clips(records, find('frame'))['best_f'].item() == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1) + 1)
    pooled = sum_clips(records, find('dataset'))
    assert [pooled[name].item() for name in ('hits', 'predicted', 'positives')] == [10, 25, 10]
    assert pooled['curve_predicted'][0, [0, 100, 200]].tolist() == [60, 25, 5]
    assert pooled['curve_hits'][0, [0, 100, 200]].tolist() == [10, 10, 5]


@pytest.mark.parametrize('name', PRESETS)
def test_only_what_the_preset_needs_is_kept(name):
    sums = sum_clips(make_records(binary_clips()), find(name))
    large = sorted(key for key, values in sums.items() if values.ndim > 1)
    curves = dict(dataset=['curve_hits', 'curve_predicted'], combo=['curve'], selm=['curve'], avsegformer=['curve'],
                  batch_mean=['curve'])
    assert large == curves.get(name, [])
    assert {values.shape for values in sums.values()} <= {(7, ), (7, 255)}
    assert {values.dtype for values in sums.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize('name', PRESETS)
@pytest.mark.parametrize('kind', ['mixed_silence', 'all_silent'])
def test_any_list_of_clips_scores_as_if_it_were_the_dataset(name, kind):
    """In the order of the list, and a clip as often as it stands there: what the interval is made of."""
    clips, preset = binary_clips(kind), find(name)
    statistics = binary_statistics(sum_clips(make_records(clips), preset), preset)
    lists = [[6, 0, 0, 3, 5, 2, 1], [2, 2, 2, 5, 5, 2, 2], [4, 4, 4, 4, 1, 1, 1]]
    found = [statistics[score](np.array(lists)) for score in ('J', 'F')]
    for index, chosen in enumerate(lists):
        expected = slow.binary_scores([clips[i] for i in chosen], name, 3)
        assert (found[0][index], found[1][index]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('name', ['combo', 'batch_mean', 'dataset', 'frame', 'avsbench'])
def test_interval_is_over_clips_whatever_is_pooled(name):
    clips, preset = binary_clips(num_clips=16), find(name)
    statistics = binary_statistics(sum_clips(make_records(clips), preset), preset)
    drawn = [slow.binary_scores([clips[i] for i in draw], name, 3) for draw in resample(16, 4, seed=2).tolist()]
    for index, score in enumerate(('J', 'F')):
        expected = np.percentile([scores[index] for scores in drawn], [2.5, 97.5])
        assert bootstrap_interval(statistics[score], 16, num_samples=4, seed=2) == pytest.approx(expected, abs=1e-6)


def test_interval_of_groups_of_eight_is_as_wide_as_that_of_clips():
    """16 clips are two groups: drawing two groups with replacement would give three values."""
    clips = binary_clips('random', num_clips=16)
    widths, distinct = {}, {}
    for name in ('avsbench', 'combo'):
        statistics = binary_statistics(sum_clips(make_records(clips), find(name)), find(name))
        low, high = bootstrap_interval(statistics['F'], 16, num_samples=500)
        widths[name] = high - low
        distinct[name] = len(np.unique(statistics['F'](resample(16, 500, seed=0))))
    assert distinct == dict(avsbench=500, combo=500)
    assert 0.7 < widths['combo'] / widths['avsbench'] < 1.5
    assert widths['combo'] > 5
