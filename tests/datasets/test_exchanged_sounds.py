"""AVSBenchDataset(sound_of=...): clips with the sounds of others."""

import pytest
import torch

from mmavs.datasets import AVSBenchDataset

TEST = [
    dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.ClipResize', scale=(32, 32)), dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.LogMelSpectrogram'), dict(type='mmavs.PackAVSInputs')]


@pytest.mark.parametrize('subset', ['s4', 'ms3'])
def test_exchanged_sounds(shapes_root, subset):
    settings = dict(subset=subset, split='test', data_root=str(shapes_root), pipeline=TEST)
    own, other = AVSBenchDataset(**settings), AVSBenchDataset(sound_of='other_clip', **settings)
    sounds = [own[i]['inputs']['audio'] for i in range(3)]
    for i in range(3):
        item = other[i]
        assert torch.equal(item['inputs']['img'], own[i]['inputs']['img'])
        assert item['data_samples'].video_id == own[i]['data_samples'].video_id
        assert torch.equal(item['inputs']['audio'], sounds[(i + 1) % 3])


def test_sounds_of_other_categories(shapes_root):
    settings = dict(subset='s4', split='train', data_root=str(shapes_root), pipeline=TEST)
    own, other = AVSBenchDataset(**settings), AVSBenchDataset(sound_of='other_category', **settings)
    categories = [own.get_data_info(i)['category'] for i in range(5)]
    for i in range(5):
        expected = next(j % 5 for j in range(i + 1, i + 5) if categories[j % 5] != categories[i])
        assert torch.equal(other[i]['inputs']['audio'], own[expected]['inputs']['audio'])
    alone = AVSBenchDataset(sound_of='other_category', categories=(categories[0], ), **settings)
    with pytest.raises(ValueError, match='needs at least 2 categories'):
        alone[0]
    with pytest.raises(ValueError, match="categories of s4 or the classes of avss; ms3 has none, use 'other_clip'"):
        AVSBenchDataset(sound_of='other_category', **dict(settings, subset='ms3'))


def test_sounds_of_other_classes_of_avss(shapes_root):
    settings = dict(subset='avss', split='train', data_root=str(shapes_root), pipeline=TEST)
    own, other = AVSBenchDataset(**settings), AVSBenchDataset(sound_of='other_category', **settings)
    donors = 0
    for i in range(len(own)):
        labels = [set(own[k]['data_samples'].gt_sem_seg.data.unique().tolist()) - {0, 255} for k in range(len(own))]
        order = [(i + step) % len(own) for step in range(1, len(own))]
        expected = next((k for k in order if labels[k] and not labels[k] & labels[i]), None)
        if expected is None:
            with pytest.raises(ValueError, match=r"needs a clip without any class of clip"):
                other[i]
            continue
        donors += 1
        assert other.get_data_info(i)['video_id'] == own.get_data_info(i)['video_id']
        count = min(len(own[i]['inputs']['audio']), len(own[expected]['inputs']['audio']))
        # The last example of a shorter clip sees the end of its sound.
        assert torch.equal(other[i]['inputs']['audio'][:count - 1], own[expected]['inputs']['audio'][:count - 1])
    assert donors >= 2


def test_exchanged_sounds_need_two_clips(shapes_root):
    dataset = AVSBenchDataset(subset='ms3', split='test', data_root=str(shapes_root), indices=1, sound_of='other_clip')
    with pytest.raises(ValueError, match='needs at least 2 clips'):
        dataset[0]
