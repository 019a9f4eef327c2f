"""The base class, on a metric that scores a clip by a number that stands in its sample."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmavs.evaluation.bootstrap import bootstrap_interval, mean_statistic
from mmavs.evaluation.metrics.clip_metric import ClipMetric, ClipRecord, read_field, sort_clips, without_nan
from mmavs.evaluation.packed_arrays import unpack_arrays


class Given(ClipMetric):
    """Mean of ``value`` over the frames; a clip without frames has no label."""

    default_prefix = 'given'

    def measure_clip(self, video_id, sample):
        if sample['value'] < 0:
            raise ValueError('value is negative')
        record = ClipRecord(video_id, sample.get('category'), sample.get('sample_idx'), list(range(sample['frames'])))
        record.value = sample['value']
        return record

    def sum_clips(self, clips):
        frames = np.array([float(len(clip.frames)) for clip in clips])
        return dict(total=frames * [clip.value for clip in clips], frames=frames)

    def score_statistics(self, sums):
        return {'mean': mean_statistic(sums['total'], sums['frames']),
                'nothing': mean_statistic(0 * sums['frames'], 0 * sums['frames'])}

    def describe_clips(self, clips, sums):
        per_clip = [dict(video_id=clip.video_id, J=clip.value) for clip in clips]
        return per_clip, [dict(category='all', num_clips=len(clips))]

    def describe_protocol(self):
        return dict(preset='plain', description='', warning='', settings={})


def samples():
    values = [(3, 'a', 10.0, 1), (1, 'c', 20.0, 2), (2, 'b', 60.0, 5), (0, 'd', 99.0, 0)]
    return [dict(sample_idx=place, video_id=name, value=value, frames=frames) for place, name, value, frames in values]


def evaluated(**settings):
    metric = Given(**settings)
    metric.process(None, samples())
    return metric, metric.evaluate(4)


def test_scores_are_of_clips_with_labels_in_dataset_order():
    metric, scores = evaluated()
    assert scores['given/mean'] == (10 + 40 + 300) / 8
    assert math.isnan(scores['given/nothing'])
    assert [clip['video_id'] for clip in metric.per_clip] == ['c', 'b', 'a']
    assert metric.categories == [dict(category='all', num_clips=3)]


def test_report():
    metric, _ = evaluated()
    report = json.loads(json.dumps(metric.report(num_samples=300, seed=3), allow_nan=False))
    assert report['metrics'] == {'given/mean': 43.75, 'given/nothing': None}
    assert report['intervals']['given/nothing'] == [None, None]
    total, frames = np.array([40.0, 300.0, 10.0]), np.array([2.0, 5.0, 1.0])
    assert report['intervals']['given/mean'] == list(bootstrap_interval(mean_statistic(total, frames), 3, 300, seed=3))
    assert {name: values.tolist() for name, values in unpack_arrays(report['sums']).items()} == dict(
        total=[40, 300, 10], frames=[2, 5, 1])
    assert (report['metric'], report['preset'], report['leak_free']) == ('Given', 'plain', None)
    assert Given(prefix='x').prefix == 'x'
    assert 'other/mean' in evaluated(prefix='other')[0].report(num_samples=5)['metrics']


def test_report_without_leaked_clips():
    metric, _ = evaluated()
    clean = metric.report(num_samples=300, leaked={'b', 'of another split'})['leak_free']
    assert (clean['leaked'], clean['num_clips'], clean['metrics']['given/mean']) == (['b'], 2, 50 / 3)
    statistic = mean_statistic(np.array([40.0, 10.0]), np.array([2.0, 1.0]))
    assert clean['intervals']['given/mean'] == list(bootstrap_interval(statistic, 2, 300))
    assert metric.report(num_samples=5, leaked=set('abc'))['leak_free'] is None


def test_errors_name_the_metric_and_the_clip():
    with pytest.raises(ValueError, match='Given: a sample has no video_id; PackAVSInputs adds it'):
        Given().process(None, [dict(value=1)])
    with pytest.raises(ValueError, match='Given, clip a: value is negative'):
        Given().process(None, [dict(video_id='a', value=-1)])
    metric = Given()
    metric.process(None, samples()[3:])
    with pytest.raises(ValueError, match='none of the 1 clips has a labelled frame'):
        metric.evaluate(1)
    with pytest.raises(RuntimeError, match=r'Given.report\(\) needs an evaluation first'):
        Given().report()


def test_clips_are_sorted_by_name_if_a_place_is_missing():
    clips = [ClipRecord('b', None, 0, [0]), ClipRecord('a', None, 1, [0])]
    assert [clip.video_id for clip in sort_clips(clips)] == ['b', 'a']
    clips.append(ClipRecord('0', None, None, [0]))
    assert [clip.video_id for clip in sort_clips(clips)] == ['0', 'a', 'b']


def test_fields():
    data = torch.rand(2, 3, 4)
    assert read_field(dict(x=dict(data=data)), 'x') is data
    assert torch.equal(read_field(dict(x=PixelData(data=data)), 'x'), data)
    with pytest.raises(ValueError, match='the sample has no y; it has x'):
        read_field(dict(x=1), 'y')
    with pytest.raises(ValueError, match=r'x must have shape \(T, H, W\), got \(3, 4\)'):
        read_field(dict(x=dict(data=data[0])), 'x')


def test_nan_becomes_none():
    value = dict(a=[1.0, float('nan')], b=(float('nan'), 'c'), d=2)
    assert without_nan(value) == dict(a=[1.0, None], b=[None, 'c'], d=2)
