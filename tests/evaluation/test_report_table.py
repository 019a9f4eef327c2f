import json

from mmavs.evaluation import AVSMetric, AVSSemanticMetric
from mmavs.evaluation.report_table import format_report

from .metrics.samples import binary_clips, evaluate, semantic_clips

REPORT = dict(
    metric='AVSMetric', preset='avsbench', description='how it pools', warning='',
    settings=dict(eval_size=None, gt_interp='nearest', group_size=1),
    metrics={'avs/J': 71.2345, 'avs/F': 80.0, 'avs/silent_clean': None},
    intervals={'avs/J': [70.0, 72.456], 'avs/F': [9.5, 81.0], 'avs/silent_clean': [None, None]},
    categories=[dict(category='ambulance siren', num_clips=12, J=5.0, F=61.5)], clips=[{}, {}])


def test_layout():
    lines = format_report(REPORT).splitlines()
    assert lines[0] == 'AVSMetric, preset avsbench: how it pools (gt_interp=nearest, group_size=1; 2 clips)'
    assert lines[1] == ''
    assert lines[2].split() == ['score', '%', '95', '%', 'interval', 'meaning']
    assert lines[4].startswith('avs/J             71.23  70.00 to 72.46  Jaccard index (IoU)')
    assert lines[5].startswith('avs/F             80.00  9.50 to 81.00   F-measure (beta^2 = 0.3) at the best')
    assert lines[6].startswith('avs/silent_clean      -  -               silent frames without')
    assert lines[8] == 'category         clips     J      F'
    assert lines[10] == 'ambulance siren     12  5.00  61.50'


def test_scores_without_leaked_clips_stand_beside_the_published_ones():
    clean = dict(leaked=['a'], num_clips=1, metrics={'avs/J': 60.5, 'avs/F': None}, intervals={'avs/J': [50.0, 70.25]})
    lines = format_report(dict(REPORT, leak_free=clean)).splitlines()
    start = lines.index('1 of 2 clips are cut from source videos that are in train, too; without them 1 clips:')
    assert lines[start + 1].split('  ')[0] == 'score'
    assert lines[start + 3].split() == ['avs/J', '71.23', '60.50', '50.00', 'to', '70.25']
    assert lines[start + 4].split() == ['avs/F', '80.00', '-', '-']
    assert 'in train' not in format_report(REPORT)
    assert 'in train' not in format_report(dict(REPORT, leak_free=None))


def test_warning_of_pools_that_cannot_be_compared():
    metric = AVSMetric(preset='dataset')
    evaluate(metric, binary_clips())
    lines = format_report(metric.report(num_samples=50)).splitlines()
    assert 'preset dataset' in lines[0]
    assert lines[1].startswith('NOT COMPARABLE with other protocols: pixels of the whole set are pooled')
    assert 'NOT COMPARABLE' not in format_report(REPORT)


def test_tables_of_both_metrics_after_json():
    binary, semantic = AVSMetric(), AVSSemanticMetric(num_classes=7)
    scores = evaluate(binary, binary_clips('all_silent')) | evaluate(semantic, semantic_clips())
    text = ''
    for metric in (binary, semantic):
        text += format_report(json.loads(json.dumps(metric.report(num_samples=50), allow_nan=False))) + '\n'
    for name, value in scores.items():
        shown = '-' if value != value else f'{value:.2f}'
        assert any(line.split()[:2] == [name, shown] for line in text.splitlines()), name
    assert 'F-measure (beta^2 = 0.3), mean over all classes' in text
    assert '7 clips' in text
    assert '\nclass 5' in text
