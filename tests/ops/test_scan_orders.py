import itertools

import pytest
import torch

from mmavs.ops import scan_index, temporal_orders
from mmavs.ops.scan_orders import ORDER_NAMES


def slow_order(name, levels, frames, first=0):
    """Positions in the order of nested loops."""
    size, rows, offset = sum(h * w for h, w in levels), [], 0
    for height, width in levels:
        length = dict(T=frames, H=height, W=width)
        for values in itertools.product(*(range(length[axis]) for axis in name)):
            at = dict(zip(name, values, strict=True))
            rows.append(first + at['T'] * size + offset + at['H'] * width + at['W'])
        offset += height * width
    return rows


def test_temporal_orders():
    assert temporal_orders(2) == ('THW',)
    assert temporal_orders(8) == ('THW', 'TWH', 'HWT', 'WHT')
    assert temporal_orders(12) == ('THW', 'TWH', 'HWT', 'WHT', 'HTW', 'WTH')


@pytest.mark.parametrize('number', [0, 1, 3, 14])
def test_temporal_orders_refuses(number):
    with pytest.raises(ValueError, match=f'must be one of 2, 4, 6, 8, 10, 12, but got {number}'):
        temporal_orders(number)


@pytest.mark.parametrize('name', ORDER_NAMES)
@pytest.mark.parametrize('levels', [((2, 3),), ((4, 2), (2, 1), (1, 1))])
def test_orders_against_loops(name, levels):
    index = scan_index((name,), levels, num_frames=3)
    forward = slow_order(name, levels, 3)
    assert index.dtype == torch.int32
    assert index.tolist() == [forward, forward[::-1]]


def test_frame_orders_by_hand():
    # One frame of 2 x 3: rows first, then columns.
    assert scan_index(('THW', 'TWH'), ((2, 3),), layout='grouped').tolist() == [
        [0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]
    assert scan_index(('THW', 'TWH'), ((2, 3),), layout='interleaved').tolist() == [
        [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5], [5, 2, 4, 1, 3, 0]]


def test_audio_last():
    index = scan_index(('THW',), ((1, 2),), num_frames=2, audio='last', audio_length=2)
    assert index.tolist() == [[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 5, 4]]
    index = scan_index(('THW',), ((1, 2),), num_frames=2, audio='last', audio_length=2, reverse_audio=False)
    assert index.tolist() == [[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 4, 5]]


def test_audio_first():
    index = scan_index(('TWH',), ((2, 2),), audio='first', audio_length=2)
    assert index.tolist() == [[0, 1, 2, 4, 3, 5], [1, 0, 5, 3, 4, 2]]


def test_rows_are_permutations():
    index = scan_index(temporal_orders(12), ((4, 5), (2, 3)), num_frames=3, audio='first', audio_length=3)
    assert index.shape == (12, 81)
    assert torch.equal(index.sort(1).values, torch.arange(81, dtype=torch.int32).expand(12, -1))


def test_cached_and_usable_for_training_after_inference_mode():
    with torch.inference_mode():
        first = scan_index(('HWT',), ((2, 2),), num_frames=5)
    assert first is scan_index(['HWT'], [[2, 2]], num_frames=5, device=torch.device('cpu'))
    assert not first.is_inference()


@pytest.mark.parametrize(('change', 'message'), [
    (dict(orders=('TH',)), 'orders must be names'), (dict(orders=()), 'orders must be names'),
    (dict(levels=()), 'levels must be'), (dict(levels=((0, 2),)), 'levels must be'),
    (dict(num_frames=0), 'num_frames must be at least 1, but got 0'), (dict(audio='middle'), "None, 'first' or 'last'"),
    (dict(audio='last'), 'audio_length=0 with audio='), (dict(audio_length=2), 'audio_length=2 with audio=None'),
    (dict(layout='other'), "'interleaved' or 'grouped', but got 'other'")])
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        scan_index(**{**dict(orders=('THW',), levels=((2, 2),)), **change})
