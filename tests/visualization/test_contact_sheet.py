import numpy as np
import pytest

from mmavs.structures.avss_classes import avss_palette
from mmavs.visualization import contact_sheet
from mmavs.visualization.colours import HIT_COLOUR, IGNORE_INDEX, LOG_MEL_SILENCE, SOUNDING_COLOUR
from mmavs.visualization.contact_sheet import _cell_size, _legend, _mean_text, _score_text, _truth_captions


def clip(num_frames=5, size=(64, 96)):
    frames = [np.full((*size, 3), 90, np.uint8)] * num_frames
    gt = np.zeros((num_frames, *size), np.uint8)
    gt[:, :32, :48] = 1
    pred = np.zeros((num_frames, *size), np.uint8)
    pred[:, :32] = 1
    log_mel = np.full((num_frames, 1, 96, 64), LOG_MEL_SILENCE, np.float32)
    return frames, gt, pred, log_mel


def count(sheet, colour):
    return int((sheet == np.array(colour)).all(-1).sum())


@pytest.mark.parametrize('num_frames', [1, 5, 10])
def test_each_frame_is_on_the_sheet_once_at_the_cell_size(num_frames):
    frames, *_ = clip(num_frames)
    sheet = contact_sheet(frames, cell_width=96)
    assert count(sheet, (90, 90, 90)) == num_frames * 64 * 96


def test_rows_follow_the_arrays_given():
    frames, gt, pred, log_mel = clip()
    heights = [contact_sheet(frames, cell_width=96).shape[0],
               contact_sheet(frames, gt, cell_width=96).shape[0],
               contact_sheet(frames, gt, pred, cell_width=96, with_errors=False).shape[0],
               contact_sheet(frames, gt, pred, cell_width=96).shape[0],
               contact_sheet(frames, gt, pred, log_mel, cell_width=96).shape[0]]
    legend = 32
    assert np.diff(heights).tolist() == [64 + 6 + legend, 64 + 6, 64 + 6, 38 + 6]


def test_colour_of_the_truth_is_the_blend_over_the_grey_frame():
    frames, gt, _, _ = clip(1)
    sheet = contact_sheet(frames, gt, cell_width=96, alpha=0.5)
    blend = [round((90 + channel) / 2 + 0.01) for channel in SOUNDING_COLOUR]
    interior = (np.abs(sheet.astype(int) - blend).max(-1) <= 1).sum()
    assert 30 * 46 <= interior <= 32 * 48


def test_hit_area_of_the_error_row_by_hand():
    frames, gt, pred, _ = clip(1)
    with_errors = contact_sheet(frames, gt, pred, cell_width=96)
    grey = 0.55 * 90
    hit = [0.25 * grey + 0.75 * channel for channel in HIT_COLOUR]
    assert abs(int((np.abs(with_errors - np.array(hit)).max(-1) <= 1).sum()) - 32 * 48) <= 32


def test_masks_may_have_another_size_than_the_frames():
    frames, gt, _, _ = clip(1)
    same = contact_sheet(frames, gt, cell_width=96)
    halved = contact_sheet(frames, gt[:, ::2, ::2], cell_width=96)
    assert (same == halved).all()


def test_more_than_two_classes_use_the_palette_and_list_only_present_classes():
    classes = ['background', *(f'c{index}' for index in range(1, 71))]
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0], mask[1, 1] = 70, IGNORE_INDEX
    entries = _legend([mask], None, classes, avss_palette(71), True)
    assert [(tuple(colour), name) for colour, name in entries] == [((32, 128, 128), 'c70')]
    entries = _legend([mask], [mask], classes, avss_palette(71), True)
    assert [name for _, name in entries] == ['c70', 'hit', 'missed', 'false alarm']


def test_frames_without_label_and_silent_frames_are_named():
    masks = [np.full((2, 2), IGNORE_INDEX, np.uint8), np.zeros((2, 2), np.uint8), np.eye(2, dtype=np.uint8)]
    assert _truth_captions(masks) == ['no label', 'silent', '']
    assert _truth_captions(masks[2:]) is None


def test_scores_are_printed_with_one_digit_and_averaged_over_known_frames():
    assert _score_text('J', 81.26) == 'J 81.3'
    assert _score_text('J', None) == _score_text('J', float('nan')) == ''
    assert _mean_text('J', [80, None, 90, float('nan')]) == 'J 85.0'
    assert _mean_text('J', None) == _mean_text('J', [None]) == ''


@pytest.mark.parametrize(('shape', 'num_frames', 'expected'), [
    ((224, 224, 3), 5, (200, 200)), ((360, 640, 3), 10, (84, 150)), ((640, 360, 3), 5, (250, 141)),
    ((50, 100, 3), 30, (55, 110)), ((2000, 10, 3), 5, (250, 32))])
def test_cell_size_keeps_proportions(shape, num_frames, expected):
    assert _cell_size(shape, num_frames, None) == expected


@pytest.mark.parametrize(('name', 'length'), [('gt', 4), ('pred', 6), ('log_mel', 10), ('scores', 3)])
def test_lengths_must_agree(name, length):
    with pytest.raises(ValueError, match=f'{name} has {length} entries, but there are 5 frames'):
        contact_sheet(clip()[0], **{name: [0] * length})


def test_no_frames():
    with pytest.raises(ValueError, match='frames is empty'):
        contact_sheet([])
