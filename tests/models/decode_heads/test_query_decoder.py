import pytest
import torch

from mmavs.models.decode_heads.query_decoder import QueryDecoderLayer

from ..layers.slow_reference import v2a
from ..layers.test_visual_scan_block import count, randomise


@pytest.mark.parametrize(('frame_level', 'temporal_level'), [(True, True), (True, False), (False, True)])
def test_levels_in_turn_frame_level_first(frame_level, temporal_level):
    torch.manual_seed(0)
    layer = randomise(QueryDecoderLayer(16, 2, frame_level, temporal_level, d_state=2, drop_path_rate=0.))
    queries = torch.randn(3, 1, 16, dtype=torch.float64)
    levels = [torch.randn(3, *size, 16, dtype=torch.float64) for size in ((3, 2), (2, 1))]
    expected = queries
    for blocks, level in zip(layer.levels, levels, strict=True):
        assert [block.temporal for block in blocks] == [False] * frame_level + [True] * temporal_level
        for block in blocks:
            expected = v2a(expected, level, block)
    result = layer(queries, [level.permute(0, 3, 1, 2) for level in levels], [3])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_every_block_has_weights_of_its_own():
    assert count(QueryDecoderLayer(256)) == 6 * 701_952
    assert count(QueryDecoderLayer(256, temporal_level=False)) == 3 * 701_952


def test_empty_layer_names_the_way_out():
    with pytest.raises(ValueError, match='set num_layers=0 to decode the projected audio itself'):
        QueryDecoderLayer(16, frame_level=False, temporal_level=False)
