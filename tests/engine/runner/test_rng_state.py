import io
import random

import numpy as np
import torch

from mmavs.engine.runner.rng_state import capture_rng, restore_rng


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.normal(), torch.rand(1).item()]


def test_numbers_repeat_after_restoring():
    # A gaussian number leaves half a pair in the states of python and numpy: it must survive too.
    random.gauss(0, 1)
    np.random.normal()
    state = capture_rng()
    first = draw()
    assert draw() != first
    restore_rng(state)
    assert draw() == first


def test_state_passes_through_a_safe_checkpoint():
    buffer = io.BytesIO()
    torch.save(capture_rng(), buffer)
    first = draw()
    buffer.seek(0)
    restore_rng(torch.load(buffer, weights_only=True))
    assert draw() == first


def test_capturing_changes_nothing():
    state = capture_rng()
    first = draw()
    restore_rng(state)
    capture_rng()
    assert draw() == first
