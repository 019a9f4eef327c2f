from mmavs.models.layers.scan_settings import FRAME_ORDERS, PRE_NORM_EPS, resolve_dt_rank


def test_rank_is_a_sixteenth_of_the_channels():
    assert resolve_dt_rank(None, 256) == 16
    assert resolve_dt_rank(None, 8) == 1
    assert resolve_dt_rank(5, 256) == 5


def test_constants_of_the_paper():
    assert FRAME_ORDERS == ('THW', 'TWH')
    assert PRE_NORM_EPS == 1e-6
