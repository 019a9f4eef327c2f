import pytest
import torch

from mmavs.models.losses import dice_loss
from mmavs.models.losses.dice_loss import AVSDiceLoss


def explicit(logits, target):
    """One frame, pixel by pixel in Python floats."""
    overlap = squares = 0.
    for logit, g in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        if g == 255:
            continue
        p = 1 / (1 + 2.718281828459045**-logit)
        overlap += p * g
        squares += p * p + g * g
    return 1 - 2 * overlap / (squares + 2e-3)


def test_numbers():
    torch.manual_seed(0)
    logits, target = torch.randn(3, 1, 4, 5, dtype=torch.float64), torch.randint(0, 2, (3, 4, 5))
    expected = sum(explicit(a, b) for a, b in zip(logits, target, strict=True)) / 3
    assert AVSDiceLoss()(logits, target).item() == pytest.approx(expected, abs=1e-12)
    assert AVSDiceLoss(loss_weight=3.)(logits, target).item() == pytest.approx(3 * expected, abs=1e-12)


def test_a_perfect_and_an_inverse_mask():
    target = torch.zeros(1, 10, 10)
    target[:, :5] = 1
    logits = (target[:, None] * 2 - 1) * 50
    # The eps leaves a little: 1 - 100 / (100 + 0.002).
    assert AVSDiceLoss()(logits, target).item() == pytest.approx(1.99996e-5, rel=1e-2)
    assert AVSDiceLoss()(-logits, target).item() == pytest.approx(1)


def test_frames_without_label_do_not_count():
    torch.manual_seed(1)
    logits, target = torch.randn(4, 1, 3, 3, requires_grad=True), torch.randint(0, 2, (4, 3, 3))
    target[1:] = 255
    loss = AVSDiceLoss()(logits, target)
    assert loss.item() == pytest.approx(explicit(logits[0], target[0]), abs=1e-6)
    loss.backward()
    assert logits.grad[0].abs().min() > 0
    assert torch.count_nonzero(logits.grad[1:]) == 0


def test_ignored_pixels_do_not_count():
    torch.manual_seed(2)
    logits, target = torch.randn(1, 1, 3, 3), torch.randint(0, 2, (1, 3, 3))
    target[0, 1] = 255
    assert AVSDiceLoss()(logits, target).item() == pytest.approx(explicit(logits, target), abs=1e-6)


def test_zero_with_gradient_when_nothing_is_labelled():
    logits = torch.randn(2, 1, 3, 3, requires_grad=True)
    loss = AVSDiceLoss()(logits, torch.full((2, 3, 3), 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_soft_targets_and_weights():
    torch.manual_seed(3)
    logits, target = torch.randn(1, 1, 4, 4, dtype=torch.float64), torch.rand(1, 4, 4, dtype=torch.float64)
    assert AVSDiceLoss()(logits, target).item() == pytest.approx(explicit(logits, target), abs=1e-12)
    weight = torch.ones(1, 4, 4)
    weight[0, :, :2] = 0
    half = AVSDiceLoss()(logits[..., 2:], target[..., 2:])
    assert AVSDiceLoss()(logits, target, weight=weight).item() == pytest.approx(half.item(), abs=1e-12)


def test_gradient():
    torch.manual_seed(4)
    logits = torch.randn(2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 2, (2, 2, 3))
    assert torch.autograd.gradcheck(lambda x: AVSDiceLoss()(x, target), logits)


def test_bfloat16_logits_give_a_float32_loss():
    logits, target = torch.randn(1, 1, 64, 64).bfloat16(), torch.randint(0, 2, (1, 64, 64))
    loss = AVSDiceLoss()(logits, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(explicit(logits, target), abs=1e-4)


def test_unequal_shares_of_the_processes_give_the_global_mean(monkeypatch):
    torch.manual_seed(5)
    logits, target = torch.randn(4, 1, 3, 3), torch.randint(0, 2, (4, 3, 3))
    whole = AVSDiceLoss()(logits, target)
    # Two processes with 3 and 1 frames: both see the mean count of 2.
    monkeypatch.setattr(dice_loss, 'get_world_size', lambda: 2)
    monkeypatch.setattr(dice_loss, 'all_reduce', lambda count, op: count.fill_(2.))
    parts = [AVSDiceLoss()(logits[share], target[share]) for share in (slice(0, 3), slice(3, 4))]
    assert (sum(parts) / 2).item() == pytest.approx(whole.item(), abs=1e-6)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r'logits \(N, 1, H, W\).*got \(2, 3, 4, 4\) and \(2, 4, 4\)'):
        AVSDiceLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match=r'got \(2, 1, 4, 4\) and \(2, 8, 8\)'):
        AVSDiceLoss()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 8, 8))


def test_name_in_the_loss_dict():
    assert AVSDiceLoss().loss_name == 'loss_dice'
    assert AVSDiceLoss(loss_name='loss_mask').loss_name == 'loss_mask'
