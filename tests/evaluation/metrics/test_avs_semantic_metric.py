import random

import pytest
import torch

from mmavs.evaluation import AVSSemanticMetric

from .. import slow_reference as slow
from .samples import evaluate, semantic_clips, to_sample


@pytest.mark.parametrize('preset', ['clean', 'avsbench'])
@pytest.mark.parametrize('seed', [0, 1])
def test_presets_equal_the_slow_transcription(preset, seed):
    clips = semantic_clips(seed=seed)
    scores = evaluate(AVSSemanticMetric(num_classes=7, preset=preset), clips)
    expected = slow.semantic_scores(clips, 7, preset)
    assert scores == pytest.approx({f'avss/{name}': value for name, value in expected.items()}, abs=1e-6)


def test_default_is_71_classes():
    clips = semantic_clips(num_classes=71, num_clips=2)
    scores = evaluate(AVSSemanticMetric(), clips)
    expected = slow.semantic_scores(clips, 71, 'clean')
    assert scores == pytest.approx({f'avss/{name}': value for name, value in expected.items()}, abs=1e-6)


def test_what_the_presets_change():
    clips = semantic_clips()
    clean = evaluate(AVSSemanticMetric(num_classes=7), clips)
    published = evaluate(AVSSemanticMetric(num_classes=7, preset='avsbench'), clips)
    assert published['avss/mIoU'] > clean['avss/mIoU'], 'padding is right background'
    long_only = [clips[2]]
    clean = evaluate(AVSSemanticMetric(num_classes=7), long_only)
    published = evaluate(AVSSemanticMetric(num_classes=7, preset='avsbench'), long_only)
    assert published['avss/mIoU'] == clean['avss/mIoU'], 'a clip of 10 frames is not padded'


def test_published_no_bg_leaves_out_the_last_class_in_place_of_the_background():
    target = torch.tensor([[[0, 0], [1, 2]]] * 10)
    prediction = torch.tensor([[[0, 0], [1, 1]]] * 10)
    clips = [dict(video_id='a', prediction=prediction, target=target)]
    # IoU of the classes: 1, 1/2, 0.
    assert evaluate(AVSSemanticMetric(num_classes=3), clips)['avss/mIoU_no_bg'] == pytest.approx(100 * (1 / 2 + 0) / 2)
    published = evaluate(AVSSemanticMetric(num_classes=3, preset='avsbench'), clips)
    assert published['avss/mIoU_no_bg'] == pytest.approx(100 * (1 + 1 / 2) / 2)
    assert published['avss/F_no_bg'] == pytest.approx(100 * (1 + 1.3 * 0.5 / (0.3 * 0.5 + 1)) / 2)


def test_hand_made_values():
    target = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 0]]])
    prediction = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 2]]])
    metric = AVSSemanticMetric(num_classes=4)
    scores = evaluate(metric, [dict(video_id='a', prediction=prediction, target=target)])
    # Class 0: IoU 1/2 and 3/4; class 1: 2/3; class 2: predicted once, 0; class 3: never seen.
    iou = [5 / 8, 2 / 3, 0, 0]
    assert scores['avss/mIoU'] == pytest.approx(100 * sum(iou) / 4)
    assert scores['avss/mIoU_no_bg'] == pytest.approx(100 * sum(iou[1:]) / 3)
    assert scores['avss/mIoU_seen'] == pytest.approx(100 * sum(iou) / 3)
    assert scores['avss/mIoU_dataset'] == pytest.approx(100 * (4 / 6 + 2 / 3 + 0) / 3)
    f = [(1.3 * 0.5 / (0.3 + 0.5) + 1.3 * 0.75 / (0.3 + 0.75)) / 2, 1.3 * (2 / 3) / (0.3 * 2 / 3 + 1), 0, 0]
    assert scores['avss/F'] == pytest.approx(100 * sum(f) / 4)
    assert scores['avss/F_no_bg'] == pytest.approx(100 * sum(f[1:]) / 3)
    assert [row['category'] for row in metric.categories] == ['class 0', 'class 1', 'class 2']
    assert [row['num_clips'] for row in metric.categories] == [1, 1, 1]
    assert [row['J'] for row in metric.categories] == pytest.approx([62.5, 200 / 3, 0])
    assert [row['F'] for row in metric.categories] == pytest.approx([100 * value for value in f[:3]])
    # Of a clip and of a frame: the mean over what is in it, here two classes in each of the two frames.
    clip = metric.per_clip[0]
    assert (clip['J'], clip['F']) == pytest.approx((100 * (2 * iou[0] + iou[1]) / 4, 100 * (2 * f[0] + f[1]) / 4))
    assert [frame['J'] for frame in clip['frames']] == pytest.approx([100 * (1 / 2 + 2 / 3) / 2, 100 * (3 / 4) / 2])
    assert clip['frames'][1]['F'] == pytest.approx(100 * (1.3 * 0.75 / (0.3 + 0.75)) / 2)


def test_order_and_batch_size_change_nothing():
    clips = semantic_clips()
    expected = evaluate(AVSSemanticMetric(num_classes=7), clips)
    for batch_size in (2, 5):
        shuffled = clips[:]
        random.Random(batch_size).shuffle(shuffled)
        assert evaluate(AVSSemanticMetric(num_classes=7), shuffled, batch_size) == expected


def test_unlabelled_frames_and_pixels():
    clips = semantic_clips()[:2]
    cut = []
    for clip in clips:
        target = clip['target'].clone()
        target[3] = 255
        target[0, :4] = 255
        cut.append(clip | dict(target=target))
    scores = evaluate(AVSSemanticMetric(num_classes=7), cut)
    assert scores['avss/mIoU'] == pytest.approx(slow.semantic_scores(cut, 7, 'clean')['mIoU'], abs=1e-6)
    published = evaluate(AVSSemanticMetric(num_classes=7, preset='avsbench'), cut)
    assert published['avss/mIoU'] == pytest.approx(slow.semantic_scores(cut, 7, 'avsbench')['mIoU'], abs=1e-6)


def test_per_clip_classes_and_report():
    clips = semantic_clips()
    metric = AVSSemanticMetric(num_classes=7, preset='avsbench')
    metric.dataset_meta = dict(classes=('background', 'dog', 'cat', 'car', 'owl', 'bus', 'gun'))
    scores = evaluate(metric, clips)
    report = metric.report(num_samples=100)
    assert report['metrics'] == scores
    assert (report['preset'], report['settings']) == ('avsbench', dict(num_classes=7))
    low, high = report['intervals']['avss/mIoU']
    assert low <= scores['avss/mIoU'] <= high
    assert [clip['video_id'] for clip in report['clips']] == ['v5', 'v4', 'v3', 'v2', 'v1']
    assert [clip['num_frames'] for clip in report['clips']] == [5, 5, 10, 5, 5]
    assert [len(clip['frames']) for clip in report['clips']] == [5, 5, 10, 5, 5]
    assert [row['category'] for row in report['categories']] == ['background', 'dog', 'cat', 'car', 'bus', 'gun']
    assert sum(row['J'] for row in report['categories']) / 7 == pytest.approx(scores['avss/mIoU'])
    assert sum(row['F'] for row in report['categories']) / 7 == pytest.approx(scores['avss/F'])
    assert report['categories'][0]['num_clips'] == 5
    single = clips[2]
    values = []
    for prediction, target in zip(single['prediction'], single['target'], strict=True):
        classes = sorted({*prediction.flatten().tolist(), *target.flatten().tolist()})
        values.append([((prediction == c) & (target == c)).sum() / ((prediction == c) | (target == c)).sum()
                       for c in classes])
    flat = [value for frame in values for value in frame]
    assert report['clips'][2]['J'] == pytest.approx(100 * float(sum(flat)) / len(flat), abs=1e-4)
    assert report['clips'][2]['frames'][3]['J'] == pytest.approx(100 * float(sum(values[3])) / len(values[3]), abs=1e-4)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda sample: sample.pop('pred_sem_seg'), 'clip v5: the sample has no pred_sem_seg'),
    (lambda sample: sample.update(gt_sem_seg=dict(data=torch.zeros(5, 2, 2))),
     r'clip v5: pred_sem_seg has shape \(5, 9, 8\), but gt_sem_seg \(5, 2, 2\)'),
    (lambda sample: sample.update(gt_sem_seg=dict(data=torch.full((5, 9, 8), 7))),
     'clip v5: target holds class 7, but num_classes=7 allows 0 to 6'),
    (lambda sample: sample.update(pred_sem_seg=dict(data=torch.full((5, 9, 8), 9))),
     'clip v5: prediction holds class 9'),
])
def test_bad_samples(change, message):
    sample = to_sample(semantic_clips()[0])
    change(sample)
    with pytest.raises(ValueError, match=message):
        AVSSemanticMetric(num_classes=7).process({}, [sample])


def test_classes_of_the_dataset_must_agree():
    metric = AVSSemanticMetric(num_classes=7)
    metric.dataset_meta = dict(classes=['a'] * 71)
    with pytest.raises(ValueError, match=r'num_classes=7, but the dataset has 71 classes .* set num_classes=71'):
        evaluate(metric, semantic_clips())


def test_bad_settings():
    with pytest.raises(ValueError, match='num_classes counts the background, so at least 2; got 1'):
        AVSSemanticMetric(num_classes=1)
    with pytest.raises(ValueError, match=r"unknown preset 'combo'; take one of clean, avsbench\."):
        AVSSemanticMetric(preset='combo')
