import cv2
import numpy as np
import pytest
from mmseg.datasets.transforms import PhotoMetricDistortion

from mmavs.datasets.transforms import ClipPhotoMetricDistortion
from mmavs.datasets.transforms.photometric import Distortion, distort

NEUTRAL = dict(brightness=0.0, contrast=1.0, contrast_first=True, saturation=1.0, hue=0)


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_the_neutral_draw_changes_nothing():
    assert np.array_equal(distort(picture(), Distortion(**NEUTRAL)), picture())


def test_brightness_is_added_and_clipped():
    frame = np.array([[[0, 100, 250]]], dtype=np.uint8)
    assert distort(frame, Distortion(**dict(NEUTRAL, brightness=20.0))).tolist() == [[[20, 120, 255]]]
    assert distort(frame, Distortion(**dict(NEUTRAL, brightness=-20.0))).tolist() == [[[0, 80, 230]]]


@pytest.mark.parametrize('first', [True, False])
def test_contrast_multiplies(first):
    frame = np.array([[[10, 100, 250]]], dtype=np.uint8)
    d = Distortion(**dict(NEUTRAL, contrast=1.5, contrast_first=first))
    assert distort(frame, d).tolist() == [[[15, 150, 255]]]


def test_saturation_of_zero_is_grey():
    grey = distort(picture(), Distortion(**dict(NEUTRAL, saturation=0.0)))
    assert np.array_equal(grey, np.repeat(picture().max(axis=2, keepdims=True), 3, axis=2))


def test_hue_goes_round():
    red = np.array([[[0, 0, 255]]], dtype=np.uint8)
    assert distort(red, Distortion(**dict(NEUTRAL, hue=60))).tolist() == [[[0, 255, 0]]]
    assert distort(red, Distortion(**dict(NEUTRAL, hue=-60))).tolist() == [[[255, 0, 0]]]


def test_order_of_contrast_and_saturation_matters_where_values_are_clipped():
    frame = np.array([[[60, 120, 240]]], dtype=np.uint8)
    values = dict(NEUTRAL, contrast=1.5, saturation=0.5)
    first = distort(frame, Distortion(**dict(values, contrast_first=True)))
    last = distort(frame, Distortion(**dict(values, contrast_first=False)))
    assert not np.array_equal(first, last)


def test_one_draw_for_the_frames_of_a_clip():
    changed = 0
    for _ in range(30):
        frames = ClipPhotoMetricDistortion()(dict(imgs=[picture()] * 4))['imgs']
        assert all(np.array_equal(frame, frames[0]) for frame in frames)
        changed += not np.array_equal(frames[0], picture())
    assert changed > 20


def test_per_frame_draws_for_each():
    frames = ClipPhotoMetricDistortion(per_frame=True)(dict(imgs=[picture()] * 8))['imgs']
    assert len({frame.tobytes() for frame in frames}) > 4


def test_draws_keep_to_their_ranges_and_are_neutral_half_the_time():
    transform = ClipPhotoMetricDistortion(brightness_delta=10, contrast_range=(0.8, 0.9), saturation_range=(1.1, 1.2),
                                          hue_delta=5)
    draws = [transform.sample() for _ in range(400)]
    assert -10 <= min(d.brightness for d in draws) < -9 < 9 < max(d.brightness for d in draws) <= 10
    assert {0.8 <= d.contrast <= 0.9 for d in draws if d.contrast != 1.0} == {True}
    assert {1.1 <= d.saturation <= 1.2 for d in draws if d.saturation != 1.0} == {True}
    assert {d.hue for d in draws} == set(range(-5, 6))
    for neutral in (sum(d.brightness == 0 for d in draws), sum(d.contrast == 1 for d in draws),
                    sum(d.saturation == 1 for d in draws),
                    sum(d.contrast_first for d in draws)):
        assert 160 <= neutral <= 240


def test_frames_keep_type_and_the_loaded_ones_are_not_written_to():
    original = picture()
    frames = ClipPhotoMetricDistortion()(dict(imgs=[original] * 2))['imgs']
    assert frames[0].dtype == np.uint8
    assert np.array_equal(original, picture())


def test_against_a_direct_transcription():
    d = Distortion(brightness=-12.5, contrast=1.2, contrast_first=False, saturation=0.7, hue=9)
    expected = np.clip(picture().astype(np.float64) - 12.5, 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(expected, cv2.COLOR_BGR2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] + 9) % 180
    hsv[..., 1] = (hsv[..., 1].astype(np.float32) * np.float32(0.7)).astype(int)
    expected = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
    expected = np.clip(expected.astype(np.float32) * np.float32(1.2), 0, 255).astype(np.uint8)
    assert np.array_equal(distort(picture(), d), expected)


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(brightness_delta=-1), 'brightness_delta'), (dict(hue_delta=100), 'hue_delta'),
    (dict(contrast_range=(1.5, 0.5)), 'contrast_range'), (dict(saturation_range=(-1, 1)), 'saturation_range')])
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ClipPhotoMetricDistortion(**settings)
    assert ClipPhotoMetricDistortion(brightness_delta=255, hue_delta=90).hue_delta == 90


def test_repr():
    assert 'hue_delta=18' in repr(ClipPhotoMetricDistortion())


def test_ranges_are_those_of_mmseg():
    ours, theirs = ClipPhotoMetricDistortion(), PhotoMetricDistortion()
    assert ours.brightness_delta == theirs.brightness_delta
    assert ours.contrast_range == (theirs.contrast_lower, theirs.contrast_upper)
    assert ours.saturation_range == (theirs.saturation_lower, theirs.saturation_upper)
    assert ours.hue_delta == theirs.hue_delta
