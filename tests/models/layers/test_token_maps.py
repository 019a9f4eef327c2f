import pytest
import torch

from mmavs.models.layers.token_maps import join_levels, map_to_tokens, split_levels, tokens_to_map


def test_tokens_run_row_by_row_and_back():
    feature = torch.arange(12.).view(1, 2, 2, 3)
    tokens = map_to_tokens(feature)
    assert tokens[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert tokens[0, 4].tolist() == [4, 10]
    assert torch.equal(tokens_to_map(tokens, (2, 3)), feature)


def test_channels_last_maps_are_viewed_not_copied():
    feature = torch.randn(2, 4, 3, 5).contiguous(memory_format=torch.channels_last)
    assert map_to_tokens(feature).data_ptr() == join_levels([feature])[0].data_ptr() == feature.data_ptr()
    assert tokens_to_map(map_to_tokens(feature), (3, 5)).is_contiguous(memory_format=torch.channels_last)


def test_levels_are_joined_and_split():
    features = [torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 2)]
    tokens, sizes = join_levels(features)
    assert tokens.shape == (2, 19, 4)
    assert sizes == ((3, 5), (2, 2))
    assert torch.equal(tokens[1, 15 + 3], features[1][1, :, 1, 1])
    for feature, back in zip(features, split_levels(tokens, sizes), strict=True):
        assert torch.equal(back, feature)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r'have 16 tokens together, but the frames have 19'):
        split_levels(torch.zeros(1, 19, 4), ((3, 4), (2, 2)))
