import pytest

from mmavs.models.layers.scan_settings import FRAME_ORDERS, PRE_NORM_EPS, inner_channels, resolve_dt_rank


def test_rank_is_a_sixteenth_of_the_channels():
    assert resolve_dt_rank(None, 256) == 16
    assert resolve_dt_rank(None, 8) == 1
    assert resolve_dt_rank(5, 256) == 5


def test_constants_of_the_paper():
    assert FRAME_ORDERS == ('THW', 'TWH')
    assert PRE_NORM_EPS == 1e-6


def test_inner_channels_are_a_whole_multiple():
    assert inner_channels(32, 2) == 64
    for expand in (0, 1.5, -1):
        with pytest.raises(ValueError, match=f'expand must be a whole number of at least 1, but got {expand}'):
            inner_channels(32, expand)
