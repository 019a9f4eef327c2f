import pytest
import torch

from mmavs.models.decode_heads.mask_mlp import MaskMLP


def test_parameter_count():
    assert sum(parameter.numel() for parameter in MaskMLP().parameters()) == 4_724_992


def test_plain_equals_explicit_formula():
    torch.manual_seed(0)
    mlp = MaskMLP(2, 8, 3, evaluation='plain').double()
    m = torch.randn(5, 4, 2, dtype=torch.float64)
    hidden = torch.clamp(m @ mlp.fc1.weight.T + mlp.fc1.bias, min=0)
    hidden = torch.clamp(hidden @ mlp.fc2.weight.T + mlp.fc2.bias, min=0)
    torch.testing.assert_close(mlp(m), hidden @ mlp.fc3.weight.T + mlp.fc3.bias, rtol=0, atol=1e-14)


@pytest.mark.parametrize(('pixels', 'pieces'), [(16, 'plain'), (4000, 'piecewise')])
def test_auto_takes_pieces_when_they_are_few(pixels, pieces, monkeypatch):
    torch.manual_seed(1)
    mlp = MaskMLP(1, 32, 4)
    lines = []
    monkeypatch.setattr(mlp.fc3, 'forward', lambda x: lines.append(x.shape) or x[..., :4])
    mlp(torch.randn(2, pixels // 2, 1))
    assert ('plain' if lines else 'piecewise') == pieces


def test_evaluations_agree_and_keep_the_shape():
    torch.manual_seed(2)
    mlp, m, results = MaskMLP(1, 64, 6).double(), torch.randn(3, 500, 1, dtype=torch.float64), []
    for mlp.evaluation in ('plain', 'piecewise', 'auto'):
        results.append(mlp(m))
    assert results[1].shape == (3, 500, 6)
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-13)
    assert torch.equal(results[2], results[1])


def test_several_queries_are_plain():
    assert MaskMLP(3, 8, 2).evaluation == 'plain'
    with pytest.raises(ValueError, match="mask_mlp='piecewise' needs num_queries=1, but got 3"):
        MaskMLP(3, 8, 2, evaluation='piecewise')
    with pytest.raises(ValueError, match=r"mask_mlp must be one of \('auto', 'plain', 'piecewise'\), but got 'fast'"):
        MaskMLP(1, 8, 2, evaluation='fast')
