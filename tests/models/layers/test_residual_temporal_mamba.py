import torch

from mmavs.models.layers.residual_temporal_mamba import ResidualTemporalMamba

from .slow_reference import pre_norm, temporal_mamba
from .test_visual_scan_block import count, randomise


def test_parameter_count():
    assert count(ResidualTemporalMamba(256)) == 735_232 + 512


def test_equals_reference():
    torch.manual_seed(0)
    block = randomise(ResidualTemporalMamba(16, num_orders=4, d_state=2, drop_path_rate=0.))
    level = torch.randn(3, 2, 4, 16, dtype=torch.float64)
    expected = level + temporal_mamba([pre_norm(level, block.norm)], block.block, 4)[0]
    result = block(level.flatten(1, 2), (2, 4), [3])
    torch.testing.assert_close(result, expected.flatten(1, 2), rtol=0, atol=1e-12)


def test_drop_path_is_drawn_for_each_clip():
    torch.manual_seed(1)
    block = randomise(ResidualTemporalMamba(16, num_orders=2, d_state=2, drop_path_rate=0.5))
    tokens = torch.randn(40, 1, 16, dtype=torch.float64)
    changed = (block(tokens, (1, 1), [2] * 20) != tokens).any(-1).any(-1).view(20, 2)
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert 3 < changed[:, 0].sum().item() < 17
