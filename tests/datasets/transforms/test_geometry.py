import numpy as np
import pytest

from mmavs.datasets.transforms import ClipRandomFlip, ClipRandomResizedCrop, ClipResize
from mmavs.registry import TRANSFORMS

T, H, W = 6, 20, 30


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def clip(masks: bool = True) -> dict:
    """Every frame is the same picture, whose first two channels hold the row and the column; the mask the row."""
    rows, columns = np.mgrid[:H, :W].astype(np.uint8)
    frame = np.stack([rows, columns, rows], axis=-1)
    results = dict(imgs=[frame.copy() for _ in range(T)], img_shape=(H, W), ori_shape=(H, W))
    if masks:
        results['gt_seg_maps'] = [rows.copy() for _ in range(T)]
    return results


def all_equal(arrays: list[np.ndarray]) -> bool:
    return all(np.array_equal(array, arrays[0]) for array in arrays)


def test_resize_takes_width_first():
    results = clip()
    results['gt_seg_maps'] = [12 * mask for mask in results['gt_seg_maps']]
    results = ClipResize(scale=(60, 40))(results)
    assert {frame.shape for frame in results['imgs']} == {(40, 60, 3)}
    assert results['img_shape'] == (40, 60)
    assert results['ori_shape'] == (H, W)
    # Nearest neighbour: every row twice, and no value that was not there.
    assert np.array_equal(results['gt_seg_maps'][0][:, 0], np.repeat(12 * np.arange(H), 2))


def test_resize_bilinear_mean():
    frame = np.array([[[0, 0, 0], [100, 100, 100]], [[100, 100, 100], [200, 200, 200]]], dtype=np.uint8)
    results = ClipResize(scale=(1, 1))(dict(imgs=[frame]))
    assert results['imgs'][0].tolist() == [[[100, 100, 100]]]


@pytest.mark.parametrize(('scale', 'expected'), [((60, 60), (40, 60)), ((30, 10), (10, 15)), ((30, 20), (20, 30))])
def test_resize_with_the_clips_own_ratio(scale, expected):
    results = ClipResize(scale=scale, keep_ratio=True)(clip())
    assert results['img_shape'] == expected
    assert results['imgs'][0].shape == (*expected, 3)


def test_resize_without_masks():
    assert 'gt_seg_maps' not in ClipResize(scale=(8, 8))(clip(masks=False))


@pytest.mark.parametrize('scale', [(0, 5), (5, ), 5, (5.0, 5), (5, 5, 5)])
def test_scale_is_checked_at_build(scale):
    for transform in (ClipResize, ClipRandomResizedCrop):
        with pytest.raises(ValueError, match='scale must be two positive ints'):
            transform(scale=scale)


def test_flip_mirrors_frames_and_masks():
    original = clip()
    results = ClipRandomFlip(prob=1.0)(clip())
    assert np.array_equal(results['imgs'][3], original['imgs'][3][:, ::-1])
    assert np.array_equal(results['gt_seg_maps'][3], original['gt_seg_maps'][3][:, ::-1])
    assert results['flip'] is True
    assert results['flip_direction'] == 'horizontal'
    assert results['imgs'][0].flags['C_CONTIGUOUS']


def test_no_flip():
    results = ClipRandomFlip(prob=0.0)(clip(masks=False))
    assert np.array_equal(results['imgs'][0], clip()['imgs'][0])
    assert results['flip'] is False
    assert results['flip_direction'] is None


def test_flip_is_shared_by_the_frames_of_a_clip_and_happens_as_often_as_asked():
    flips = []
    for _ in range(200):
        results = ClipRandomFlip(prob=0.3)(clip(masks=False))
        assert all_equal(results['imgs'])
        flips.append(results['flip'])
    assert 40 <= sum(flips) <= 80


def test_flip_per_frame():
    results = ClipRandomFlip(prob=0.5, per_frame=True)(clip())
    assert len(results['flip']) == T
    assert 0 < sum(results['flip']) < T
    for frame, mask, flip in zip(results['imgs'], results['gt_seg_maps'], results['flip'], strict=True):
        assert frame[0, 0, 1] == (W - 1 if flip else 0)
        assert np.array_equal(frame[..., 0], mask)


@pytest.mark.parametrize('prob', [-0.1, 1.1])
def test_flip_probability_is_checked(prob):
    with pytest.raises(ValueError, match=r'prob must be in 0\.\.1'):
        ClipRandomFlip(prob=prob)


def test_crop_is_shared_by_frames_and_masks():
    transform = ClipRandomResizedCrop(scale=(16, 12), area_range=(0.3, 0.6))
    corners = set()
    for _ in range(20):
        results = transform(clip())
        assert results['imgs'][0].shape == (12, 16, 3)
        assert results['img_shape'] == (12, 16)
        assert all_equal(results['imgs'])
        assert all_equal(results['gt_seg_maps'])
        # The mask holds the row of each pixel, and so does channel 0, up to half a pixel of interpolation.
        assert np.abs(results['imgs'][0][..., 0].astype(int) - results['gt_seg_maps'][0]).max() <= 1
        corners.add(tuple(results['imgs'][0][0, 0, :2]))
    assert len(corners) > 10


SOFT = 'bilinear_soft'


def test_soft_masks_hold_shares_of_sounding():
    mask = np.array([[0, 1]], dtype=np.uint8)
    results = ClipResize(scale=(8, 1), mask_interp=SOFT)(dict(imgs=[np.zeros((1, 2, 3), np.uint8)], gt_seg_maps=[mask]))
    share = results['gt_seg_maps'][0]
    assert share.dtype == np.float32
    # Centres of 8 pixels over those of 2, at 0.5 and 1.5: flat outside, rising in between.
    assert share[0] == pytest.approx([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


@pytest.mark.parametrize('transform', [ClipResize(scale=(13, 9), mask_interp=SOFT),
                                       ClipRandomResizedCrop(scale=(13, 9), mask_interp=SOFT)])
def test_frames_without_a_label_keep_their_exact_mark(transform):
    results = clip()
    results['gt_seg_maps'] = [np.full((H, W), value, np.uint8) for value in (0, 255, 1, 255, 255, 255)]
    masks = transform(results)['gt_seg_maps']
    assert [np.unique(mask).tolist() for mask in masks] == [[0.0], [255.0], [1.0], [255.0], [255.0], [255.0]]


def test_pixels_without_a_label_do_not_bleed_into_their_neighbours():
    mask = np.array([[1, 1, 255, 255, 0, 0]], dtype=np.uint8)
    results = dict(imgs=[np.zeros((1, 6, 3), np.uint8)], gt_seg_maps=[mask])
    share = ClipResize(scale=(12, 1), mask_interp=SOFT)(results)['gt_seg_maps'][0][0]
    assert (share == 255).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert share[share != 255].max() <= 1


def test_a_soft_crop_follows_the_frames():
    results = dict(clip(), gt_seg_maps=[(clip()['imgs'][0][..., 0] >= 10).astype(np.uint8)] * T)
    results = ClipRandomResizedCrop(scale=(60, 40), area_range=(0.5, 0.5), mask_interp=SOFT)(results)
    row, share = results['imgs'][0][..., 0].astype(float), results['gt_seg_maps'][0]
    # Row 9 is silent and row 10 sounds: half way between them the share is one half.
    inside = (row >= 1) & (row <= 18)
    assert np.abs(share - np.clip(row - 9, 0, 1))[inside].max() <= 0.51
    assert ((share > 0) & (share < 1)).any()
    assert share[row <= 8].max() == 0
    assert share[row >= 11].min() == 1


def test_soft_masks_make_no_sense_for_classes():
    for transform in (ClipResize, ClipRandomResizedCrop):
        with pytest.raises(ValueError, match=r"Clip\w+: mask_interp='bilinear_soft' mixes .*use 'nearest'"):
            transform(scale=(8, 8), mask_interp=SOFT)(dict(clip(), mask_format='index'))


@pytest.mark.parametrize('transform', [ClipResize, ClipRandomResizedCrop])
def test_mask_interpolation_is_checked_at_build(transform):
    with pytest.raises(ValueError, match=r"mask_interp must be one of \['nearest', 'bilinear_soft'\], got 'cubic'"):
        transform(scale=(8, 8), mask_interp='cubic')


def test_a_crop_resizes_frames_bilinearly_and_masks_by_nearest_neighbour():
    frame = np.array([[0, 200]], dtype=np.uint8)[..., None].repeat(3, axis=2)
    results = dict(imgs=[frame], gt_seg_maps=[np.array([[0, 1]], dtype=np.uint8)])
    results = ClipRandomResizedCrop(scale=(8, 1), area_range=(1, 1), ratio_range=(2, 2))(results)
    assert results['imgs'][0][0, :, 0].tolist() == [0, 0, 25, 75, 125, 175, 200, 200]
    assert results['gt_seg_maps'][0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


def test_crop_makes_no_new_mask_values():
    results = dict(clip(), gt_seg_maps=[np.random.default_rng(0).choice([0, 70, 255], (H, W)).astype(np.uint8)] * T)
    masks = ClipRandomResizedCrop(scale=(50, 40), area_range=(0.3, 0.6))(results)['gt_seg_maps']
    assert set(np.unique(masks[0])) == {0, 70, 255}


def test_crop_per_frame_differs_between_frames():
    results = ClipRandomResizedCrop(scale=(16, 12), per_frame=True)(clip())
    assert not all_equal(results['imgs'])
    for frame, mask in zip(results['imgs'], results['gt_seg_maps'], strict=True):
        assert np.abs(frame[..., 0].astype(int) - mask).max() <= 1


def test_windows_keep_inside_and_to_the_ranges():
    transform = ClipRandomResizedCrop(scale=(8, 8), area_range=(0.2, 0.5), ratio_range=(0.8, 1.25))
    for _ in range(200):
        top, left, height, width = transform.window(100, 140)
        assert 0 <= top <= 100 - height
        assert 0 <= left <= 140 - width
        assert 0.19 <= height * width / 14000 <= 0.51
        assert 0.78 <= width / height <= 1.28


def test_windows_cover_two_fifths_to_all_of_the_picture_by_default():
    np.random.seed(0)
    windows = [ClipRandomResizedCrop(scale=(8, 8)).window(300, 300) for _ in range(2000)]
    areas = [height * width / 90000 for _, _, height, width in windows]
    ratios = [width / height for _, _, height, width in windows]
    assert (min(areas), max(areas)) == pytest.approx((0.4, 1), abs=0.02)
    assert (min(ratios), max(ratios)) == pytest.approx((3 / 4, 4 / 3), abs=0.02)


def test_a_window_that_cannot_fit_is_the_whole_picture():
    transform = ClipRandomResizedCrop(scale=(8, 8), area_range=(1, 1), ratio_range=(3, 3))
    assert transform.window(50, 50) == (0, 0, 50, 50)
    for ratio, size in ((200, (1, 100)), (1 / 200, (100, 1))):     # less than half a pixel high, or wide
        transform = ClipRandomResizedCrop(scale=(8, 8), area_range=(0.4, 0.4), ratio_range=(ratio, ratio))
        assert transform.window(*size) == (0, 0, *size)


def test_the_whole_window_is_the_identity():
    results = ClipRandomResizedCrop(scale=(W, H), area_range=(1, 1), ratio_range=(W / H, W / H))(clip())
    assert np.array_equal(results['imgs'][0], clip()['imgs'][0])


def test_crop_without_masks_and_with_masks_of_another_size():
    assert 'gt_seg_maps' not in ClipRandomResizedCrop(scale=(8, 8))(clip(masks=False))
    results = ClipResize(scale=(8, 8))(clip(masks=False))
    results['gt_seg_maps'] = clip()['gt_seg_maps']
    with pytest.raises(ValueError, match=r'the masks are \(20, 30\), the frames \(8, 8\)'):
        ClipRandomResizedCrop(scale=(8, 8))(results)


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(area_range=(0, 1)), 'area_range'), (dict(area_range=(0.9, 0.5)), 'area_range'),
    (dict(area_range=(0.5, 1.2)), 'area_range'), (dict(ratio_range=(0, 1)), 'ratio_range')])
def test_crop_ranges_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ClipRandomResizedCrop(scale=(8, 8), **settings)


def test_the_same_seed_gives_the_same_clip():
    transform = ClipRandomResizedCrop(scale=(16, 12))
    np.random.seed(3)
    first = transform(clip())['imgs'][0]
    np.random.seed(3)
    assert np.array_equal(transform(clip())['imgs'][0], first)


def test_registered_and_printable():
    built = TRANSFORMS.build(dict(type='mmavs.ClipRandomResizedCrop', scale=[8, 8], per_frame=True))
    assert 'scale=(8, 8)' in repr(built)
    assert 'per_frame=True' in repr(built)
    assert repr(ClipResize(scale=(8, 4))) == "ClipResize(scale=(8, 4), keep_ratio=False, mask_interp='nearest')"
    assert repr(ClipRandomFlip()) == 'ClipRandomFlip(prob=0.5, per_frame=False)'
