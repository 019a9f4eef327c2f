import math
import random

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from torch.nn import functional as F

from mmavs.evaluation import AVSMetric
from mmavs.registry import METRICS
from mmavs.structures import AVDataSample

from .. import slow_reference as slow
from .samples import KINDS, binary_clips, evaluate, evaluate_in_process, semantic_clips, to_sample

PRESETS = ('avsbench', 'avsegformer', 'selm', 'combo', 'avsmamba', 'frame', 'dataset')


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('kind', KINDS)
def test_every_preset_equals_the_slow_transcription(kind, preset):
    clips = binary_clips(kind, num_clips=9)
    scores = evaluate(AVSMetric(preset=preset), clips)
    j, f = slow.binary_scores(clips, preset)
    assert scores['avs/J'] == pytest.approx(j, abs=1e-6)
    assert scores['avs/F'] == pytest.approx(f, abs=1e-6)


@pytest.mark.parametrize('group_size', [1, 2, 4, 9])
def test_batch_mean_with_a_short_last_batch(group_size):
    clips = binary_clips(num_clips=9)
    scores = evaluate(AVSMetric(preset='batch_mean', group_size=group_size), clips)
    j, f = slow.binary_scores(clips, 'batch_mean', group_size)
    assert scores['avs/J'] == pytest.approx(j, abs=1e-6)
    assert scores['avs/F'] == pytest.approx(f, abs=1e-6)


def test_presets_differ_where_they_should():
    clips = binary_clips('mixed_silence', num_clips=9)
    f = {preset: evaluate(AVSMetric(preset=preset), clips)['avs/F'] for preset in PRESETS}
    assert f['avsegformer'] == f['selm']
    assert f['avsbench'] == f['avsmamba']
    assert len({round(value, 6) for value in f.values()}) == 5
    assert f['frame'] > f['avsbench'], 'silent videos count 0 by default'


def test_companions():
    target = torch.zeros(4, 10, 10, dtype=torch.uint8)
    target[:2, :5] = 1
    scores = torch.zeros(4, 10, 10)
    scores[0, :5] = 0.9           # perfect
    scores[1, :, :5] = 0.9        # IoU 25 / 75
    scores[2, :2, :3] = 0.9       # 6 false positives of 100 pixels
    result = evaluate(AVSMetric(), [dict(video_id='a', scores=scores, target=target)])
    assert result['avs/J'] == pytest.approx(100 * (1 + 1 / 3 + 0.94 + 1) / 4, abs=1e-6)
    assert result['avs/J_sounding'] == pytest.approx(100 * (1 + 1 / 3) / 2, abs=1e-6)
    assert result['avs/silent_fp_area'] == pytest.approx(3.0, abs=1e-6)
    assert result['avs/silent_clean'] == pytest.approx(50.0, abs=1e-6)


def test_one_false_pixel_is_not_clean():
    scores = torch.zeros(2, 64, 64)
    scores[0, 3, 4] = 0.51
    result = evaluate(AVSMetric(), [dict(video_id='a', scores=scores, target=torch.zeros(2, 64, 64))])
    assert result['avs/silent_clean'] == 50
    assert result['avs/silent_fp_area'] == pytest.approx(100 / 64**2 / 2)


def test_companions_are_undefined_without_such_frames():
    silent = evaluate(AVSMetric(), binary_clips('all_silent'))
    assert math.isnan(silent['avs/J_sounding'])
    assert silent['avs/F'] == 0
    sounding = evaluate(AVSMetric(), binary_clips('random'))
    assert math.isnan(sounding['avs/silent_clean'])
    assert math.isnan(sounding['avs/silent_fp_area'])
    assert sounding['avs/J_sounding'] == pytest.approx(sounding['avs/J'], abs=1e-9)


@pytest.mark.parametrize('preset', [*PRESETS, 'batch_mean'])
def test_order_and_batch_size_change_nothing(preset):
    clips = binary_clips(num_clips=9)
    keywords = dict(preset=preset, group_size=2 if preset == 'batch_mean' else None)
    expected = evaluate(AVSMetric(**keywords), clips)
    for batch_size in (2, 4, 9):
        shuffled = clips[:]
        random.Random(batch_size).shuffle(shuffled)
        assert evaluate(AVSMetric(**keywords), shuffled, batch_size) == expected


def test_groups_follow_the_dataset_order_not_the_names():
    clips = binary_clips(num_clips=9)
    by_place = evaluate(AVSMetric(preset='avsegformer'), clips)['avs/F']
    by_name = [{key: value for key, value in clip.items() if key != 'sample_idx'} for clip in clips]
    named = evaluate(AVSMetric(preset='avsegformer'), by_name)['avs/F']
    ordered = sorted(clips, key=lambda clip: clip['video_id'])
    assert named == pytest.approx(slow.binary_scores(ordered, 'avsegformer')[1], abs=1e-6)
    assert abs(named - by_place) > 0.01


def test_two_processes_give_the_scores_of_one(tmp_path):
    torch.multiprocessing.spawn(evaluate_in_process, args=(2, 'mixed_silence', str(tmp_path)), nprocs=2)
    from mmavs.evaluation import AVSSemanticMetric
    expected = evaluate(AVSMetric(preset='avsegformer'), binary_clips())
    expected |= evaluate(AVSSemanticMetric(num_classes=7), semantic_clips())
    for rank in range(2):
        assert torch.load(tmp_path / f'rank{rank}.pt') == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_frames_without_labels_are_not_counted():
    clips = binary_clips(num_clips=4)
    cut = []
    for clip in clips:
        target = clip['target'].clone()
        target[1] = 255
        cut.append(clip | dict(target=target))
    cut.append(clips[0] | dict(video_id='unlabelled', sample_idx=9, target=torch.full_like(clips[0]['target'], 255)))
    kept = [clip | {key: torch.cat([clip[key][:1], clip[key][2:]]) for key in ('scores', 'target')} for clip in clips]
    metric = AVSMetric()
    assert evaluate(metric, cut) == evaluate(AVSMetric(), kept)
    assert [clip['num_frames'] for clip in metric.per_clip] == [4, 2, 4, 4]
    assert [frame['frame'] for frame in metric.per_clip[1]['frames']] == [0, 2]


def test_per_clip_values_and_categories():
    clips = binary_clips(num_clips=6)
    metric = AVSMetric()
    scores = evaluate(metric, clips[::-1])
    assert [clip['video_id'] for clip in metric.per_clip] == [clip['video_id'] for clip in clips]
    for value, clip in zip(metric.per_clip, clips, strict=True):
        j, f = slow.binary_scores([clip], 'avsbench')
        assert value['J'] == pytest.approx(j, abs=1e-6)
        assert value['F'] == pytest.approx(f, abs=1e-6)
        assert value['category'] == clip['category']
        assert value['silent'] == (clip['target'].sum() == 0).item()
        assert [frame['silent'] for frame in value['frames']] == [bool((t == 0).all()) for t in clip['target']]
        areas = 100 * (clip['scores'] > 0.5).double().mean((1, 2))
        assert [frame['predicted_area'] for frame in value['frames']] == pytest.approx(areas.tolist())
        assert [frame['J'] for frame in value['frames']] == pytest.approx(
            [100 * slow.iou_of_frame(*frame) for frame in zip(clip['scores'], clip['target'], strict=True)])
    assert scores['avs/F'] == pytest.approx(sum(clip['F'] for clip in metric.per_clip) / 6)
    assert [row['category'] for row in metric.categories] == ['car', 'cat', 'dog']
    assert [row['num_clips'] for row in metric.categories] == [2, 2, 2]
    cats = slow.binary_scores([clip for clip in clips if clip['category'] == 'cat'], 'avsbench')
    assert (metric.categories[1]['J'], metric.categories[1]['F']) == pytest.approx(cats, abs=1e-6)


@pytest.mark.parametrize('preset', [*PRESETS, 'batch_mean'])
def test_rows_are_what_the_preset_gives_their_clips_alone(preset):
    clips = binary_clips(num_clips=9)
    metric = AVSMetric(preset=preset, group_size=2 if preset == 'batch_mean' else None)
    evaluate(metric, clips)
    rows = {row['category']: row for row in metric.categories}
    assert sorted(rows) == ['car', 'cat', 'dog']
    for name, row in rows.items():
        members = [clip for clip in clips if clip['category'] == name]
        assert row['num_clips'] == len(members) == 3
        assert (row['J'], row['F']) == pytest.approx(slow.binary_scores(members, preset, 2), abs=1e-6)
    for value, clip in zip(metric.per_clip, clips, strict=True):
        assert (value['J'], value['F']) == pytest.approx(slow.binary_scores([clip], preset, 2), abs=1e-6)


def test_report():
    metric = AVSMetric(preset='combo')
    scores = evaluate(metric, binary_clips('random'))
    report = metric.report(num_samples=200)
    assert report['metric'] == 'AVSMetric'
    assert report['preset'] == 'combo'
    assert report['settings'] == dict(eval_size=None, gt_interp='nearest', group_size=8)
    assert report['warning'] == ''
    assert report['metrics']['avs/J'] == scores['avs/J']
    assert report['metrics']['avs/silent_clean'] is None
    low, high = report['intervals']['avs/J']
    assert low < scores['avs/J'] < high
    assert report['clips'] == metric.per_clip
    assert metric.report(num_samples=200, seed=0) == report, 'the interval is seeded'
    for other in (dict(num_samples=200, seed=1), dict(num_samples=100)):
        assert metric.report(**other)['intervals'] != report['intervals']
    assert 'do not compare' in AVSMetric(preset='dataset').describe_protocol()['warning']


def test_report_needs_an_evaluation():
    with pytest.raises(RuntimeError, match='needs an evaluation first'):
        AVSMetric().report()


@pytest.mark.parametrize('gt_interp', ['nearest', 'bilinear_soft'])
def test_eval_size(gt_interp):
    clips = binary_clips(num_clips=3)
    resized = []
    for clip in clips:
        clip['logits'] = torch.randn(len(clip['scores']), 6, 5)
        logits = F.interpolate(clip['logits'][:, None], size=(24, 30), mode='bilinear', align_corners=False)[:, 0]
        mode = dict(mode='nearest') if gt_interp == 'nearest' else dict(mode='bilinear', align_corners=False)
        target = F.interpolate(clip['target'].double()[:, None], size=(24, 30), **mode)[:, 0]
        resized.append(dict(scores=logits.sigmoid(), target=target))
    scores = evaluate(AVSMetric(eval_size=(24, 30), gt_interp=gt_interp), clips)
    j, f = slow.binary_scores(resized, 'avsbench')
    assert scores['avs/J'] == pytest.approx(j, abs=1e-6)
    assert scores['avs/F'] == pytest.approx(f, abs=1e-6)


def test_eval_size_without_logits():
    clip = binary_clips()[0]
    with pytest.raises(ValueError, match=r'clip clip_00: eval_size=\(16, 16\) needs the logits of the network'):
        evaluate(AVSMetric(eval_size=16), [clip])
    same = evaluate(AVSMetric(eval_size=(12, 10)), [clip])
    assert same == pytest.approx(evaluate(AVSMetric(), [clip]), nan_ok=True)


def test_soft_masks_need_full_labels():
    clip = binary_clips()[0]
    clip['target'][0, 0, 0], clip['logits'] = 255, torch.zeros(5, 4, 4)
    with pytest.raises(ValueError, match=r'clip clip_00: .*cannot resize a mask in which some pixels have no label'):
        evaluate(AVSMetric(eval_size=16, gt_interp='bilinear_soft'), [clip])


@pytest.mark.parametrize(('change', 'message'), [
    (lambda sample: sample.pop('pred_scores'), r'clip clip_00: the sample has no pred_scores; it has category, gt_sem'),
    (lambda sample: sample.pop('gt_sem_seg'), 'clip clip_00: the sample has no gt_sem_seg'),
    (lambda sample: sample.pop('video_id'), 'a sample has no video_id; PackAVSInputs adds it'),
    (lambda sample: sample.update(pred_scores=dict(data=torch.zeros(5, 6, 6))),
     r'clip clip_00: pred_scores has shape \(5, 6, 6\), but gt_sem_seg \(5, 12, 10\)'),
    (lambda sample: sample.update(gt_sem_seg=dict(data=torch.zeros(12, 10))),
     r'clip clip_00: gt_sem_seg must have shape \(T, H, W\), got \(12, 10\)'),
    (lambda sample: sample.update(pred_scores=dict(data=torch.full((5, 12, 10), 3.0))),
     r'clip clip_00: scores must be probabilities'),
    (lambda sample: sample.update(gt_sem_seg=dict(data=torch.full((5, 12, 10), 70))),
     'clip clip_00: target holds the value 70; a binary mask has'),
])
def test_bad_samples(change, message):
    sample = to_sample(binary_clips()[0])
    change(sample)
    with pytest.raises(ValueError, match=message):
        AVSMetric().process({}, [sample])


@pytest.mark.parametrize(('keywords', 'message'), [
    (dict(preset='avsbenchmark'), 'unknown preset \'avsbenchmark\'; take one of avsbench, avsegformer, selm, combo'),
    (dict(preset='batch_mean'), "it belongs to the preset 'batch_mean', which needs it"),
    (dict(preset='combo', group_size=4), 'group_size=4 with preset=\'combo\''),
    (dict(preset='batch_mean', group_size=0), 'group_size must be at least 1'),
    (dict(gt_interp='bicubic'), 'gt_interp must be one of nearest, bilinear_soft'),
    (dict(gt_interp='bilinear_soft'), 'has no effect without eval_size'),
    (dict(eval_size=0), 'eval_size must be a positive integer'),
    (dict(eval_size=(1, 2, 3)), 'eval_size must be a positive integer'),
])
def test_bad_settings(keywords, message):
    with pytest.raises(ValueError, match=message):
        AVSMetric(**keywords)


@pytest.mark.parametrize('settings', [{}, dict(preset='avsegformer'), dict(preset='dataset'), dict(preset='frame'),
                                      dict(preset='batch_mean', group_size=3)])
def test_scores_without_leaked_clips_are_those_of_the_others_alone(settings):
    clips, alone, metric = binary_clips(), AVSMetric(**settings), AVSMetric(**settings)
    evaluate(metric, clips)
    names = [clips[i]['video_id'] for i in (1, 4)]
    report = metric.report(num_samples=50, leaked={*names, 'a clip of another split'})
    evaluate(alone, [clip for clip in clips if clip['video_id'] not in names])
    expected = alone.report(num_samples=50)
    clean = report['leak_free']
    assert (clean['leaked'], clean['num_clips']) == (names, 5)
    assert (clean['metrics'], clean['intervals']) == (expected['metrics'], expected['intervals'])
    assert report['metrics'] == metric.report(num_samples=50)['metrics'] != clean['metrics']


@pytest.mark.parametrize('leaked', [(), ('elsewhere', ), [f'clip_{index:02d}' for index in range(7)]])
def test_no_second_column_where_all_or_none_are_leaked(leaked):
    metric = AVSMetric()
    evaluate(metric, binary_clips())
    assert metric.report(num_samples=50, leaked=leaked)['leak_free'] is None


def test_split_without_masks():
    clip = binary_clips()[0]
    clip['target'][:] = 255
    with pytest.raises(ValueError, match='none of the 1 clips has a labelled frame; is the split one with masks'):
        evaluate(AVSMetric(), [clip])


def test_through_the_evaluator_of_mmengine():
    clips = binary_clips(num_clips=3)
    evaluator = Evaluator(dict(type='mmavs.AVSMetric', preset='frame'))
    for clip in clips:
        sample = AVDataSample(metainfo={key: clip[key] for key in ('video_id', 'category', 'sample_idx')})
        sample.gt_sem_seg = PixelData(data=clip['target'])
        sample.pred_scores = PixelData(data=clip['scores'])
        evaluator.process(data_samples=[sample], data_batch=None)
    assert evaluator.evaluate(3) == evaluate(AVSMetric(preset='frame'), clips)
    assert [clip['category'] for clip in evaluator.metrics[0].per_clip] == ['dog', 'cat', 'car']


def test_registered():
    assert isinstance(METRICS.build(dict(type='mmavs.AVSMetric', preset='selm')), AVSMetric)
