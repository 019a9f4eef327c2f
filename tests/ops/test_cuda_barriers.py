"""Barriers of the CUDA kernels: results do not depend on the order in which threads run, and without any one of the
barriers they do.
"""

import re

import pytest
import torch

from .cuda_emulation.scan import KERNELS, EmulatedScan, build, find_compiler
from .test_cuda_emulation import make_inputs

pytestmark = pytest.mark.skipif(find_compiler() is None, reason='no C++ compiler')
SCHEDULES = range(8)   # ascending, descending, and random ones in which a warp runs as far ahead as it can
BARRIERS = [(path.name, number) for path in sorted(KERNELS.glob('*.cuh'))
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if re.search(r'__syncthreads(_or)?\(', line.split('//')[0])]


@pytest.fixture(scope='module')
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp('emulation'))


def run(library, schedule, *, states=16, rank=4, channels=6, length=300, resident=12):
    """Outputs, last state and gradients; several segments, low-rank steps, tiles with and without wanted rows."""
    library.emulated_device(resident, schedule)
    scan = EmulatedScan(library, make_inputs(1, 2, length, channels, states, rank=rank), y_start=length - 60,
                        y_length=40)
    dout = torch.randn(1, 40, channels, generator=torch.Generator().manual_seed(1))
    return [*scan.forward(), *scan.backward(dout).values()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(('states', 'rank', 'channels'), [(1, 0, 130), (2, 3, 9), (8, 5, 70), (16, 0, 6), (16, 4, 40),
                                                          (19, 2, 5)])
def test_order_of_threads_does_not_matter(library, states, rank, channels):
    sizes = dict(states=states, rank=rank, channels=channels, length=150, resident=8)
    expected = run(library, 0, **sizes)
    assert all(equal(run(library, schedule, **sizes), expected) for schedule in SCHEDULES[1:])


@pytest.fixture(scope='module')
def expected(library):
    values = run(library, 0)
    assert all(x.isfinite().all() for x in values)
    return values


@pytest.mark.parametrize(('file', 'line'), BARRIERS)
def test_no_barrier_can_be_left_out(library, expected, file, line):
    library.emulated_skip_barrier(file.encode(), line)
    try:
        changed = [schedule for schedule in SCHEDULES if not equal(run(library, schedule), expected)]
    finally:
        library.emulated_skip_barrier(b'', 0)
    assert changed, 'no order of the threads shows that this barrier is missing'


def test_every_barrier_is_found():
    assert len(BARRIERS) == 16
    assert {name for name, _ in BARRIERS} == {'scan_adjoint.cuh', 'scan_backward.cuh', 'scan_forward.cuh',
                                              'scan_tile.cuh'}
