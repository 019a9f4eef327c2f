import json
import re

import numpy as np
import pytest
import torch

from mmavs.evaluation import AVSMetric, AVSSemanticMetric
from mmavs.evaluation.bootstrap import resample

from ..evaluation import slow_reference as slow
from ..evaluation.metrics.samples import binary_clips, evaluate, semantic_clips
from .loading import load_tool

compare_results = load_tool('analysis_tools/compare_results.py')

PRESETS = [dict(preset=name) for name in ('avsbench', 'avsegformer', 'combo', 'frame', 'dataset')]
PRESETS.append(dict(preset='batch_mean', group_size=3))


def report(clips, **settings):
    metric = AVSSemanticMetric(**settings) if 'num_classes' in settings else AVSMetric(**settings)
    evaluate(metric, clips)
    return metric.report(num_samples=10)


def write(path, *reports):
    path.write_text(json.dumps(reports[0] if len(reports) == 1 else reports), encoding='utf-8')
    return str(path)


def two_models(num_clips=18):
    """The same clips with the predictions of two models, the second one better in most clips."""
    first, second = binary_clips(num_clips=num_clips), binary_clips(num_clips=num_clips)
    for index, clip in enumerate(second):
        clip['scores'] = 0.5 + (clip['scores'] - 0.5) * (0.3 if index == 7 else 1)
        if index % 4:
            clip['scores'] = (clip['scores'] + 0.3 * clip['target'].clamp(max=1)).clamp(0, 1)
    return first, second


def lines_of(text):
    pattern = r'(\w+): A ([-\d.]+), B ([-\d.]+), B - A ([-+\d.]+) \(95 % interval ([-+\d.]+) to ([-+\d.]+)\): (.*)'
    return {match[1]: (*map(float, match.groups()[1:6]), match[7]) for match in re.finditer(pattern, text)}


@pytest.mark.parametrize('settings', PRESETS, ids=str)
def test_differences_are_those_of_the_headlines(settings, tmp_path):
    reports = [report(clips, **settings) for clips in two_models()]
    a, b = (write(tmp_path / f'{name}.json', content) for name, content in zip('ab', reports, strict=True))
    lines = lines_of(compare_results.compare(a, b))
    assert list(lines) == [name.split('/')[1] for name in reports[0]['metrics']]
    for name, (before, after, difference, low, high, _) in lines.items():
        expected = [content['metrics'][f'avs/{name}'] for content in reports]
        assert (before, after) == tuple(round(value, 2) for value in expected)
        assert difference == round(expected[1] - expected[0], 2)
        assert low <= difference <= high


@pytest.mark.parametrize('settings', PRESETS, ids=str)
def test_difference_is_exact_and_its_interval_that_of_lists_of_clips(settings, tmp_path):
    models = two_models(num_clips=9)
    results = [compare_results.read_results(write(tmp_path / 'x.json', report(clips, **settings)))[0]
               for clips in models]
    drawn = [[slow.binary_scores([clips[i] for i in draw], settings['preset'], settings.get('group_size'))
              for clips in models] for draw in resample(9, 6, seed=5).tolist()]
    for index, score in enumerate(('J', 'F')):
        before, after = (result.statistics(list(result.clip_j))[score] for result in results)
        found = compare_results.paired_difference(before, after, 9, num_samples=6, seed=5)
        metrics = [report(clips, **settings)['metrics'][f'avs/{score}'] for clips in models]
        assert found.value == metrics[1] - metrics[0]
        differences = [second[index] - first[index] for first, second in drawn]
        assert (found.low, found.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=1e-6)


def test_the_preset_decides_who_wins(tmp_path):
    """One large object that A finds and B does not, and nine small ones the other way round."""
    target = torch.zeros(10, 1, 20, 20, dtype=torch.uint8)
    target[0], target[1:, :, 4, 4:6] = 1, 1
    found = {'a': [1] + 9 * [0], 'b': [0] + 9 * [1]}
    for preset, verdict in (('avsbench', 'B is better'), ('dataset', 'B is worse')):
        paths = []
        for name, weights in found.items():
            clips = [dict(video_id=f'{i}', sample_idx=i, scores=0.9 * weight * target[i].float(), target=target[i])
                     for i, weight in enumerate(weights)]
            paths.append(write(tmp_path / f'{name}.json', report(clips, preset=preset)))
        line = lines_of(compare_results.compare(*paths))['J']
        expected = (10, 90) if preset == 'avsbench' else (100 * 400 / 418, 100 * 18 / 418)
        assert line[:2] == pytest.approx(expected, abs=0.006)
        assert line[5] == verdict if preset == 'avsbench' else line[2] < -90


def test_semantic_results(tmp_path):
    clips, better = semantic_clips(num_clips=12), semantic_clips(num_clips=12)
    for clip in better:
        clip['prediction'][:, ::2] = clip['target'][:, ::2]
    reports = [report(content, num_classes=7) for content in (clips, better)]
    paths = [write(tmp_path / f'{name}.json', content) for name, content in zip('ab', reports, strict=True)]
    lines = lines_of(compare_results.compare(*paths))
    assert list(lines) == ['mIoU', 'F', 'mIoU_no_bg', 'F_no_bg', 'mIoU_seen', 'mIoU_dataset']
    expected = [content['metrics']['avss/mIoU'] for content in reports]
    assert lines['mIoU'][2] == round(expected[1] - expected[0], 2) > 5
    assert {line[5] for line in lines.values()} == {'B is better'}


def test_output(tmp_path, capsys):
    first, second = two_models()
    second[7]['scores'] = 1 - second[7]['scores']
    # The files may have other clips, and another order where nothing depends on it.
    second = [dict(clip, sample_idx=-clip['sample_idx']) for clip in [*second[1:], dict(second[0], video_id='new')]]
    a, b = write(tmp_path / 'a.json', report(first)), write(tmp_path / 'b.json', report(second))
    assert compare_results.main([a, b, '--worst', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f'A {a}', f'B {b}']
    assert lines[3] == 'AVSMetric, preset avsbench (eval_size=None, gt_interp=nearest, group_size=1)'
    assert lines[4] == '17 common clips, 1 only in A, 1 only in B'
    j, _ = slow.binary_scores(first[1:], 'avsbench')
    assert lines[6].startswith(f'J: A {j:.2f}, B ')
    assert lines[-2] == 'most changed in J:'
    assert lines[-1].split()[1] == first[7]['video_id']
    same = compare_results.compare(a, a)
    assert 'B - A +0.00 (95 % interval +0.00 to +0.00): no clear difference' in same
    assert 'most changed' not in same


def test_less_false_area_is_better_and_absent_frames_are_undefined(tmp_path):
    clips = [dict(video_id=f'{i}', sample_idx=i, scores=torch.zeros(2, 8, 8), target=torch.zeros(2, 8, 8))
             for i in range(4)]
    clean = write(tmp_path / 'b.json', report(clips))
    for clip in clips:
        clip['scores'] = torch.cat([torch.ones(2, 2, 8), torch.zeros(2, 6, 8)], dim=1)
    text = compare_results.compare(write(tmp_path / 'a.json', report(clips)), clean)
    assert 'silent_fp_area: A 25.00, B 0.00, B - A -25.00 (95 % interval -25.00 to -25.00): B is better' in text
    assert 'silent_clean: A 0.00, B 100.00, B - A +100.00 (95 % interval +100.00 to +100.00): B is better' in text
    assert 'J_sounding: undefined' in text


def test_several_metrics_are_compared_one_by_one(tmp_path):
    first, second = two_models()
    a = write(tmp_path / 'a.json', report(first), report(first, preset='combo'), report(first, preset='frame'))
    b = write(tmp_path / 'b.json', report(second, preset='combo'), report(second))
    text = compare_results.compare(a, b)
    parts = text.split('\n\n')
    assert [part.split(' (')[0] for part in parts if part.startswith('AVSMetric')] == [
        'AVSMetric, preset avsbench', 'AVSMetric, preset combo']
    assert text.splitlines()[-1].startswith('only in A: AVSMetric, preset frame')
    assert compare_results.compare(b, a).splitlines()[-1].startswith('only in B: AVSMetric, preset frame')


@pytest.mark.parametrize(('settings', 'changes', 'message'), [
    (dict(preset='combo'), {},
     r'has AVSMetric, preset avsbench .* but .*b\.json has AVSMetric, preset combo .*not comp'),
    (dict(eval_size=14), {}, r'eval_size=None.* but .*eval_size=\[14, 14\].*not comparable'),
    ({}, dict(video_id='other'), 'have no clip in common'),
])
def test_results_that_cannot_be_compared(tmp_path, settings, changes, message):
    clips = [binary_clips(num_clips=1)[0] | dict(logits=torch.zeros(5, 4, 4))]
    a = write(tmp_path / 'a.json', report(clips))
    b = write(tmp_path / 'b.json', report([clips[0] | changes], **settings))
    with pytest.raises(ValueError, match=message):
        compare_results.compare(a, b)


def test_groups_need_one_order(tmp_path):
    clips = binary_clips(num_clips=4)
    turned = [dict(clip, sample_idx=-clip['sample_idx']) for clip in clips]
    for preset in ('avsbench', 'avsegformer'):
        a, b = (write(tmp_path / f'{name}.json', report(content, preset=preset))
                for name, content in (('a', clips), ('b', turned)))
        if preset == 'avsbench':
            assert 'J: A' in compare_results.compare(a, b)
        else:
            with pytest.raises(ValueError, match=r'different orders, but AVSMetric, preset .* pools every 2'):
                compare_results.compare(a, b)


def test_missing_and_broken_files(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        compare_results.main([str(tmp_path / 'none.json'), str(tmp_path / 'none.json')])
    assert stop.value.code == 2
    assert 'error: No result file' in capsys.readouterr().err.splitlines()[-1]
