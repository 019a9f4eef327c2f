import torch

from mmavs.models.layers.gated_output import GatedOutput

from .slow_reference import gate_out


def test_equals_explicit_formula():
    torch.manual_seed(0)
    out = GatedOutput(6, 4).double()
    torch.nn.init.normal_(out.norm.weight)
    torch.nn.init.normal_(out.norm.bias)
    # Tiny values: the eps of 1e-5 shows.
    y, z = torch.randn(2, 3, 6, dtype=torch.float64) * 1e-3, torch.randn(2, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(out(y, z), gate_out(out, y, z), rtol=0, atol=1e-13)


def test_float32_scan_fits_a_low_precision_module():
    out = GatedOutput(6, 4).bfloat16()
    assert out(torch.randn(1, 2, 6), torch.randn(1, 2, 6).bfloat16()).dtype == torch.bfloat16
