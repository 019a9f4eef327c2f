import pytest
import torch

from mmavs.models.layers.drop_path import DropPath


def test_identity_in_evaluation_and_at_zero():
    branch = torch.randn(4, 3, 2)
    assert DropPath(0.).train()(branch) is branch
    assert DropPath(0.9).eval()(branch) is branch


def test_frames_are_drawn_apart_and_what_survives_is_scaled():
    torch.manual_seed(0)
    scale = DropPath(0.25)(torch.ones(4000, 3, 2))
    assert torch.equal(scale, scale[:, :1, :1].expand_as(scale))
    assert set(scale.unique().tolist()) == {0., torch.tensor(1 / 0.75).item()}
    # Mean 1 with a standard error of 0.009.
    assert scale.mean().item() == pytest.approx(1, abs=0.04)


def test_levels_are_drawn_apart():
    torch.manual_seed(1)
    scale = DropPath(0.5)(torch.ones(2000, 5, 1), level_lengths=[3, 2])[..., 0]
    assert torch.equal(scale[:, 0], scale[:, 2])
    assert torch.equal(scale[:, 3], scale[:, 4])
    both = ((scale[:, 0] > 0) & (scale[:, 3] > 0)).float().mean().item()
    assert both == pytest.approx(0.25, abs=0.05)


def test_clips_are_drawn_apart_and_their_frames_together():
    torch.manual_seed(2)
    lengths = [2, 3] * 500
    scale = DropPath(0.5)(torch.ones(2500, 4, 1), clip_lengths=lengths)[..., 0]
    clips = scale.split(lengths)
    assert all(torch.equal(clip, clip[:1, :1].expand_as(clip)) for clip in clips)
    kept = torch.tensor([float(clip[0, 0] > 0) for clip in clips])
    assert kept.mean().item() == pytest.approx(0.5, abs=0.08)
    assert (kept[1:] * kept[:-1]).mean().item() == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize('prob', [-0.1, 1.0, '0.1', None, True])
def test_impossible_probability(prob):
    with pytest.raises(ValueError, match=r'drop_path_rate must be a number in \[0, 1\), but got'):
        DropPath(prob)
