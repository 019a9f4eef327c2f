import numpy as np
import pytest
import torch

from mmavs.datasets.transforms import PackAVSInputs
from mmavs.registry import TRANSFORMS


def loaded(num_frames: int = 3, **changes) -> dict:
    rng = np.random.default_rng(0)
    results = dict(
        imgs=[rng.integers(0, 256, (4, 6, 3), dtype=np.uint8) for _ in range(num_frames)],
        gt_seg_maps=[rng.integers(0, 2, (8, 12), dtype=np.uint8) for _ in range(num_frames)],
        audio=rng.standard_normal((num_frames, 1, 96, 64)), video_id='a', category=None, subset='ms3', split='test',
        img_path=['f'] * num_frames, ori_shape=(8, 12), img_shape=(4, 6), flip=False, mask_format='binary')
    return dict(results, **changes)


def test_shapes_types_and_values():
    results = loaded()
    packed = PackAVSInputs()(results)
    image, audio = packed['inputs']['img'], packed['inputs']['audio']
    assert (image.shape, image.dtype) == ((3, 3, 4, 6), torch.uint8)
    assert (audio.shape, audio.dtype) == ((3, 1, 96, 64), torch.float32)
    # Frame 1, channel 2, row 3, column 4.
    assert image[1, 2, 3, 4].item() == results['imgs'][1][3, 4, 2]
    target = packed['data_samples'].gt_sem_seg.data
    assert (target.shape, target.dtype) == ((3, 8, 12), torch.uint8)
    assert np.array_equal(target[2].numpy(), results['gt_seg_maps'][2])


def test_shares_of_sounding_stay_floats():
    masks = [np.full((8, 12), share, dtype=np.float32) for share in (0.25, 255, 1)]
    target = PackAVSInputs()(loaded(gt_seg_maps=masks))['data_samples'].gt_sem_seg.data
    assert (target.shape, target.dtype) == ((3, 8, 12), torch.float32)
    assert target[:, 3, 4].tolist() == [0.25, 255, 1]


def test_meta_information_is_copied_where_it_is_there():
    sample = PackAVSInputs()(loaded())['data_samples']
    assert sample.metainfo['video_id'] == 'a'
    assert sample.metainfo['ori_shape'] == (8, 12)
    assert sample.metainfo['category'] is None
    assert 'mask_format' not in sample.metainfo
    assert 'audio_path' not in sample.metainfo


def test_the_place_in_the_dataset_follows_the_sample():
    # Metrics sort and group clips by it.
    assert PackAVSInputs()(loaded(sample_idx=7))['data_samples'].sample_idx == 7


def test_a_kept_sound_goes_with_the_sample():
    assert 'sound' not in PackAVSInputs()(loaded())['data_samples'].metainfo
    sound = np.arange(3, dtype=np.float32)
    assert PackAVSInputs()(loaded(sound=sound))['data_samples'].sound.tolist() == [0, 1, 2]


def test_meta_keys_can_be_chosen():
    sample = PackAVSInputs(meta_keys=('split', ))(loaded())['data_samples']
    assert dict(sample.metainfo_items()) == {'split': 'test'}


def test_inference_has_neither_masks_nor_has_to_have_sound():
    results = loaded()
    del results['gt_seg_maps'], results['audio']
    packed = PackAVSInputs()(results)
    assert set(packed['inputs']) == {'img'}
    assert 'gt_sem_seg' not in packed['data_samples']


def test_the_result_does_not_share_memory_with_a_flipped_view():
    results = loaded(num_frames=1)
    results['imgs'] = [results['imgs'][0][:, ::-1]]
    image = PackAVSInputs()(results)['inputs']['img']
    assert image.is_contiguous()


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(audio=np.zeros((2, 1, 96, 64))), "Clip 'a' has 3 frames and 2 log-mel examples"),
    (dict(gt_seg_maps=[np.zeros((8, 12), np.uint8)] * 4), "Clip 'a' has 3 frames and 4 masks"),
    (dict(imgs=[np.zeros((4, 6, 3), np.uint8), np.zeros((4, 7, 3), np.uint8)]), r'frames of clip .a. have the sizes'),
    (dict(gt_seg_maps=[np.zeros((8, 12), np.uint8)] * 2 + [np.zeros((8, 11), np.uint8)]), 'masks of clip'),
    (dict(imgs=[]), 'at least one')])
def test_lengths_and_sizes_that_disagree(changes, message):
    with pytest.raises(ValueError, match=message):
        PackAVSInputs()(loaded(**changes))


def test_missing_frames_name_the_transform():
    with pytest.raises(KeyError, match='LoadClipFrames'):
        PackAVSInputs()(dict(video_id='a'))


def test_registered_and_printable():
    assert 'video_id' in repr(TRANSFORMS.build(dict(type='mmavs.PackAVSInputs')))
