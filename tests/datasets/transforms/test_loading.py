import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms import ClipResize, LoadClipFrames, LoadClipMasks
from mmavs.structures import avss_palette


@pytest.fixture
def clip(tmp_path) -> dict:
    """Three frames of 12 x 8 pixels; the second has no mask."""
    rng = np.random.default_rng(0)
    frames, masks = [], []
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(tmp_path / f'f{k}.png')
        Image.fromarray(rng.integers(0, 2, (8, 12), dtype=np.uint8) * 255).save(tmp_path / f'm{k}.png')
        frames.append(str(tmp_path / f'f{k}.png'))
        masks.append(str(tmp_path / f'm{k}.png') if k != 1 else None)
    return dict(img_path=frames, seg_map_path=masks, video_id='a')


def test_frames_and_shapes(clip):
    results = LoadClipFrames()(clip)
    assert len(results['imgs']) == 3
    expected = np.asarray(Image.open(clip['img_path'][2]))[..., ::-1]
    assert np.array_equal(results['imgs'][2], expected)
    assert results['ori_shape'] == results['img_shape'] == (8, 12)
    assert results['flip'] is False
    assert results['flip_direction'] is None


def test_a_frame_of_another_size_is_named(clip, tmp_path):
    Image.new('RGB', (12, 9)).save(tmp_path / 'f2.png')
    with pytest.raises(DataFileError, match=r'f2\.png is 12x9 pixels, the first frame of the clip is 12x8'):
        LoadClipFrames()(clip)


def test_masks_and_the_frame_without_a_label(clip):
    results = LoadClipMasks()(LoadClipFrames()(clip))
    masks = results['gt_seg_maps']
    assert [mask.dtype for mask in masks] == [np.uint8] * 3
    assert np.array_equal(masks[0], np.asarray(Image.open(clip['seg_map_path'][0])) // 255)
    assert (masks[1] == 255).all()
    assert masks[1].shape == (8, 12)


def test_behind_a_resize_the_ground_truth_keeps_its_size(clip):
    results = LoadClipMasks()(ClipResize(scale=(24, 24))(LoadClipFrames()(clip)))
    assert results['imgs'][0].shape == (24, 24, 3)
    assert (results['img_shape'], results['ori_shape']) == ((24, 24), (8, 12))
    assert {mask.shape for mask in results['gt_seg_maps']} == {(8, 12)}


def test_mask_format_chooses_the_reader(clip, tmp_path):
    indices = np.arange(96, dtype=np.uint8).reshape(8, 12) % 71
    for k in (0, 2):
        Image.fromarray(indices).save(tmp_path / f'm{k}.png')
    assert np.array_equal(LoadClipMasks()(LoadClipFrames()(dict(clip, mask_format='index')))['gt_seg_maps'][2], indices)
    for k in (0, 2):
        Image.fromarray(avss_palette()[indices]).save(tmp_path / f'm{k}.png')
    results = LoadClipMasks()(LoadClipFrames()(dict(clip, mask_format='palette')))
    assert np.array_equal(results['gt_seg_maps'][2], indices)


def test_a_clip_without_masks_passes(clip):
    del clip['seg_map_path']
    assert 'gt_seg_maps' not in LoadClipMasks()(LoadClipFrames()(clip))


def test_a_mask_of_another_size_is_an_error_with_its_cure(clip, tmp_path):
    Image.new('L', (6, 4)).save(tmp_path / 'm2.png')
    with pytest.raises(DataFileError, match=r"m2\.png is 6x4 pixels, its frame 12x8.*size_mismatch='resize'"):
        LoadClipMasks()(LoadClipFrames()(clip))


def test_a_mask_of_another_size_can_be_resized_by_nearest_neighbour(clip, tmp_path):
    small = np.random.default_rng(1).integers(0, 2, (4, 6), dtype=np.uint8)
    Image.fromarray(small * 255).save(tmp_path / 'm2.png')
    masks = LoadClipMasks(size_mismatch='resize')(LoadClipFrames()(clip))['gt_seg_maps']
    assert np.array_equal(masks[2], small.repeat(2, axis=0).repeat(2, axis=1))


def test_a_missing_mask_is_named(clip, tmp_path):
    (tmp_path / 'm2.png').unlink()
    with pytest.raises(DataFileError, match=r'm2\.png does not exist'):
        LoadClipMasks()(LoadClipFrames()(clip))


def test_size_mismatch_is_checked_at_build():
    with pytest.raises(ValueError, match="must be 'raise' or 'resize', got 'pad'"):
        LoadClipMasks(size_mismatch='pad')


def test_other_values_are_refused_or_cut(clip, tmp_path):
    soft = np.full((8, 12), 120, dtype=np.uint8)
    soft[:3] = 130
    Image.fromarray(soft).save(tmp_path / 'm2.png')
    with pytest.raises(DataFileError, match=r'm2\.png \(mode L\) holds the values 120, 130'):
        LoadClipMasks()(LoadClipFrames()(clip))
    mask = LoadClipMasks(other_values='threshold')(LoadClipFrames()(clip))['gt_seg_maps'][2]
    assert mask.sum(axis=1).tolist() == [12] * 3 + [0] * 5
    with pytest.raises(ValueError, match="other_values must be 'raise' or 'threshold', got 'ignore'"):
        LoadClipMasks(other_values='ignore')


def test_repr():
    assert repr(LoadClipFrames()) == 'LoadClipFrames()'
    assert repr(LoadClipMasks()) == "LoadClipMasks(size_mismatch='raise', other_values='raise')"
