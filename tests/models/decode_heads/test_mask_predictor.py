import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmavs.models.decode_heads.mask_predictor import MaskPredictor


@pytest.mark.parametrize(('num_classes', 'expected'), [(1, 331_968), (71, 334_208)])
def test_parameter_counts(num_classes, expected):
    predictor, classify = MaskPredictor(256), nn.Conv2d(32, num_classes, 1, bias=False)
    total = sum(p.numel() for p in (*predictor.parameters(), *classify.parameters()))
    assert total == 4_724_992 + expected


@pytest.mark.parametrize('num_queries', [1, 3])
def test_equals_explicit_formula(num_queries):
    torch.manual_seed(0)
    predictor = MaskPredictor(6, num_queries, mlp_channels=16, fc_channels=(5, 4)).double()
    classify = nn.Conv2d(4, 2, 1, bias=False).double()
    mask_feature = torch.randn(2, 6, 8, 7, dtype=torch.float64)
    queries = torch.randn(2, num_queries, 6, dtype=torch.float64)
    x = torch.einsum('nchw,nlc->nlhw', mask_feature, queries)
    mlp = predictor.mlp
    for fc, last in ((mlp.fc1, False), (mlp.fc2, False), (mlp.fc3, True)):
        x = F.conv2d(x, fc.weight[:, :, None, None], fc.bias)
        x = x if last else x.relu()
    x = F.conv2d(x + mask_feature, predictor.conv_coarse.weight, predictor.conv_coarse.bias, padding=1)
    x = F.interpolate(x, size=(32, 28), mode='bilinear', align_corners=False)
    x = F.conv2d(x, predictor.conv_fine.weight, predictor.conv_fine.bias, padding=1).relu()
    expected = F.conv2d(x, classify.weight)
    torch.testing.assert_close(predictor(mask_feature, queries, classify), expected, rtol=0, atol=1e-12)


def test_wrong_number_of_channels():
    with pytest.raises(ValueError, match=r'fc_channels must be 2 whole numbers of at least 1, but got \(128,\)'):
        MaskPredictor(8, fc_channels=(128,))
    with pytest.raises(ValueError, match='mlp_channels must be a whole number of at least 1, but got 0'):
        MaskPredictor(8, mlp_channels=0)
