import json

import numpy as np
import pytest

from mmavs.evaluation import AVSMetric, AVSSemanticMetric
from mmavs.evaluation.bootstrap import evaluate_statistic
from mmavs.evaluation.packed_arrays import pack_arrays
from mmavs.evaluation.result_file import read_results

from .metrics.samples import binary_clips, evaluate, semantic_clips

METRICS = [
    *(dict(preset=name) for name in ('avsbench', 'avsegformer', 'selm', 'combo', 'avsmamba', 'frame', 'dataset')),
    dict(preset='batch_mean', group_size=3),
    *(dict(preset=name, num_classes=7) for name in ('clean', 'avsbench')),
]


def write(path, *reports):
    path.write_text(json.dumps(reports[0] if len(reports) == 1 else reports, indent=1, allow_nan=False))
    return str(path)


def make_report(settings, seed=0, num_clips=18):
    if 'num_classes' in settings:
        metric, clips = AVSSemanticMetric(**settings), semantic_clips(num_clips=num_clips, seed=seed)
    else:
        metric, clips = AVSMetric(**settings), binary_clips(num_clips=num_clips, seed=seed)
    evaluate(metric, clips)
    return metric.report(num_samples=10)


@pytest.mark.parametrize('settings', METRICS, ids=str)
def test_scores_of_the_file_are_found_again_exactly(settings, tmp_path):
    report = make_report(settings)
    result, = read_results(write(tmp_path / 'a.json', report))
    scores = {name: evaluate_statistic(statistic, 18) for name, statistic in result.statistics(result.clip_j).items()}
    assert list(scores.values()) == list(report['metrics'].values())
    assert list(scores) == [name.split('/')[1] for name in report['metrics']]
    assert result.clip_j == {clip['video_id']: clip['J'] for clip in report['clips']}


@pytest.mark.parametrize('settings', METRICS, ids=str)
def test_scores_of_some_clips_are_those_of_these_clips_alone(settings, tmp_path):
    result, = read_results(write(tmp_path / 'a.json', make_report(settings)))
    clips = (semantic_clips if 'num_classes' in settings else binary_clips)(num_clips=18)
    some = [clip for index, clip in enumerate(clips) if index % 3]
    statistics = result.statistics([clip['video_id'] for clip in some])
    alone = evaluate(AVSSemanticMetric(**settings) if 'num_classes' in settings else AVSMetric(**settings), some)
    assert [evaluate_statistic(statistic, len(some)) for statistic in statistics.values()] == list(alone.values())


def test_files_stay_small(tmp_path):
    """What is kept for 740 clips is at most the curve of each clip."""
    curves = np.random.default_rng(0).random((740, 255))
    assert len(json.dumps(pack_arrays(dict(curve=curves)))) < 2.1e6
    sizes = {preset: len(json.dumps(make_report(dict(preset=preset))['sums'])) / 18 for preset in ('avsbench', 'combo')}
    assert sizes['avsbench'] < 100
    assert sizes['combo'] < 2800


def test_several_metrics(tmp_path):
    path = write(tmp_path / 'a.json', make_report(dict(preset='combo')), make_report(dict(preset='frame')))
    first, second = read_results(path)
    assert first.protocol == 'AVSMetric, preset combo (eval_size=None, gt_interp=nearest, group_size=8)'
    assert (first.group_size, second.group_size) == (8, 1)
    assert second.preset == 'frame'


def broken(change):
    report = make_report(dict(preset='avsegformer'))
    change(report)
    return report


@pytest.mark.parametrize(('change', 'message'), [
    (lambda report: report.pop('sums'), r"KeyError: 'sums'\); test again to write it anew"),
    (lambda report: report.pop('preset'), "KeyError: 'preset'"),
    (lambda report: report.update(metric='IoUMetric'), "metric 'IoUMetric' is unknown"),
    (lambda report: report.update(preset='best'), "unknown preset 'best'"),
    (lambda report: report.update(preset='dataset'), "KeyError: 'hits'"),
    (lambda report: report['clips'].pop(), r'it lists 17 clips, but has sums of \[18\]'),
    (lambda report: report['sums'].update(iou=[1.0]), "'iou' is no packed array"),
    (lambda report: report.update(settings=None), 'TypeError'),
    (lambda report: report['clips'][3].update(video_id=report['clips'][2]['video_id']), 'names a clip twice'),
])
def test_broken_files(tmp_path, change, message):
    with pytest.raises(ValueError, match=rf'a\.json .*{message}'):
        read_results(write(tmp_path / 'a.json', broken(change)))


@pytest.mark.parametrize('text', ['', '{"preset"', '7', '"text"', '[3]', '{}'])
def test_other_files(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=r'a\.json cannot be read as a result of tools/test\.py --out'):
        read_results(tmp_path / 'a.json')


def test_no_file_and_no_metric(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'No result file .*none\.json; write one with'):
        read_results(tmp_path / 'none.json')
    (tmp_path / 'a.json').write_text('[]')
    with pytest.raises(ValueError, match=r'a\.json holds no result'):
        read_results(tmp_path / 'a.json')
