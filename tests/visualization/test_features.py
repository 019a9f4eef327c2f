import numpy as np
import pytest
import torch

from mmavs.visualization import feature_overlay, principal_components
from mmavs.visualization.colours import colour_map


def test_first_component_of_a_line_is_the_position_on_it():
    # Every pixel lies on the line s * (3, 4, 0) + (1, 1, 7): the component is 5 (s - mean s).
    torch.manual_seed(0)
    s = torch.rand(2, 4, 5)**3
    direction = torch.tensor([3.0, 4.0, 0.0]).view(1, 3, 1, 1)
    features = s.unsqueeze(1) * direction + torch.tensor([1.0, 1.0, 7.0]).view(1, 3, 1, 1)
    scores = principal_components(features)
    assert scores.shape == (2, 1, 4, 5)
    torch.testing.assert_close(scores[:, 0], 5 * (s - s.mean()), atol=1e-5, rtol=1e-5)


def test_components_equal_those_of_the_svd():
    torch.manual_seed(1)
    features = torch.randn(3, 6, 4, 4, dtype=torch.float64)
    rows = features.permute(0, 2, 3, 1).reshape(-1, 6)
    rows = rows - rows.mean(0)
    u, singular, _ = torch.linalg.svd(rows, full_matrices=False)
    expected = (u * singular)[:, :3]
    scores = principal_components(features, 3).permute(0, 2, 3, 1).reshape(-1, 3).double()
    torch.testing.assert_close(scores.abs(), expected.abs(), atol=1e-5, rtol=1e-5)
    assert ((scores**3).sum(0) >= 0).all()


def test_sign_does_not_depend_on_the_sign_of_the_features():
    torch.manual_seed(2)
    features = torch.randn(1, 4, 6, 6)**3
    positive = principal_components(features)
    assert (positive**3).sum() > 0
    assert (principal_components(-features)**3).sum() > 0


def test_overlay_is_the_blend_with_the_colour_map():
    frames = [np.full((4, 6, 3), 100, np.uint8)] * 2
    scores = torch.stack([torch.zeros(1, 4, 6), torch.ones(1, 4, 6)])
    low, high = feature_overlay(frames, scores, factor=0.7, cmap='turbo')
    for picture, colour in ((low, colour_map('turbo')[0]), (high, colour_map('turbo')[255])):
        expected = 0.3 * 100 + 0.7 * colour.astype(float)
        assert np.abs(picture - expected).max() <= 1


def test_three_components_become_red_green_blue():
    frames = [np.zeros((2, 2, 3), np.uint8)]
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 1, 0, 0] = 1
    scores[0, 2, 0, 1] = 10     # each component has a scale of its own
    picture = feature_overlay(frames, scores, factor=1)[0]
    assert picture[0].tolist() == [[0, 255, 0], [0, 0, 255]]
    assert picture[1, 1].tolist() == [0, 0, 0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r'features have shape \(2, 3\)'):
        principal_components(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r'num_components=5 must lie in 1\.\.4'):
        principal_components(torch.zeros(1, 4, 3, 3), 5)
    with pytest.raises(ValueError, match=r'expected \(1, 1 or 3, h, w\)'):
        feature_overlay([np.zeros((2, 2, 3), np.uint8)], torch.zeros(1, 2, 2, 2))
