import math

import pytest
import torch

from mmavs.evaluation import AVSMetric
from mmavs.evaluation.metrics.presets import BINARY_PRESETS, SEMANTIC_PRESETS, find_preset

from .samples import evaluate


def test_what_the_published_evaluations_pool():
    assert {name: (preset.group, preset.group_size, preset.batch_mean) for name, preset in BINARY_PRESETS.items()} == {
        'avsbench': ('clips', 1, False), 'avsegformer': ('clips', 2, False), 'selm': ('clips', 2, False),
        'combo': ('clips', 8, False), 'avsmamba': ('clips', 1, False), 'batch_mean': ('clips', 1, True),
        'frame': ('frame', 1, False), 'dataset': ('dataset', 1, False)}
    assert {name: (preset.padded_length, preset.drop_last_class) for name, preset in SEMANTIC_PRESETS.items()} == {
        'clean': (0, False), 'avsbench': (10, True)}


def test_pools_that_cannot_be_compared_say_so():
    warned = [name for name, preset in BINARY_PRESETS.items() if 'do not compare' in preset.warning]
    assert warned == ['frame', 'dataset']
    assert all(preset.description for preset in (*BINARY_PRESETS.values(), *SEMANTIC_PRESETS.values()))


def test_find():
    assert find_preset(BINARY_PRESETS, 'combo', 'AVSMetric').group_size == 8
    with pytest.raises(ValueError, match=r"AVSMetric: unknown preset 'clean'; take one of avsbench, .*, dataset\."):
        find_preset(BINARY_PRESETS, 'clean', 'AVSMetric')


def two_frames(marked_in_silence):
    """A frame whose 10 of 100 pixels are found at 0.9, another 10 marked at 0.6; then a silent one, marked at 0.9."""
    target, scores = torch.zeros(2, 10, 10, dtype=torch.uint8), torch.zeros(2, 10, 10)
    target[0, 0], scores[0, 0], scores[0, 1] = 1, 0.9, 0.6
    scores[1].view(-1)[:marked_in_silence] = 0.9
    return [dict(video_id='a', scores=scores, target=target)]


def f(precision, recall):
    return 1.3 * precision * recall / (0.3 * precision + recall)


@pytest.mark.parametrize(('preset', 'marked', 'j', 'best_f'), [
    # One big picture: the marks in the silent frame are false positives of J and of F.
    ('dataset', 0, 10 / 20, f(1, 1)),
    ('dataset', 30, 10 / 50, f(10 / 40, 1)),
    # Frame by frame: a silent frame scores its true negatives and is left out of F.
    ('avsbench', 0, (10 / 20 + 1) / 2, f(1, 1)),
    ('avsbench', 30, (10 / 20 + 0.7) / 2, f(1, 1)),
    ('frame', 30, (10 / 20 + 0.7) / 2, f(1, 1)),
])
def test_silent_frames(preset, marked, j, best_f):
    scores = evaluate(AVSMetric(preset=preset), two_frames(marked))
    assert scores['avs/J'] == pytest.approx(100 * j, abs=1e-6)
    assert scores['avs/F'] == pytest.approx(100 * best_f, abs=1e-6)


def test_pool_of_silence_only():
    clip = dict(video_id='a', scores=torch.zeros(2, 4, 4), target=torch.zeros(2, 4, 4, dtype=torch.uint8))
    scores = evaluate(AVSMetric(preset='dataset'), [clip])
    assert (scores['avs/J'], scores['avs/F'], scores['avs/silent_clean']) == (0, 0, 100)
    assert math.isnan(scores['avs/J_sounding'])
