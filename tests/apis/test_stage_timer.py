import pytest

from mmavs.apis import stage_timer
from mmavs.apis.stage_timer import StageTimer


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: no real time is measured."""
    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(stage_timer, 'time', clock)
    return clock


def test_stages_add_up_and_inner_ones_count_once(clock):
    timer = StageTimer()
    with timer('draw'):
        clock.now += 1
        with timer('decode'):
            clock.now += 2
            with timer('network'):
                clock.now += 4
        clock.now += 8
    with timer('draw'):
        clock.now += 16
    assert dict(timer.seconds) == {'draw': 25, 'decode': 2, 'network': 4}


def test_iterating_counts_the_waiting_only(clock):
    def slow():
        for index in range(3):
            clock.now += 1
            yield index

    timer, got = StageTimer(), []
    for item in timer.iterate('decode', slow()):
        clock.now += 10
        got.append(item)
    assert got == [0, 1, 2]
    assert timer.seconds['decode'] == 3


def test_iterating_closes_what_it_goes_through(clock):
    closed = []

    def numbers():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    iterator = StageTimer().iterate('decode', numbers())
    next(iterator)
    iterator.close()
    assert closed == [True]


def test_an_error_is_timed_too(clock):
    timer = StageTimer()

    def fail():
        with timer('network'):
            clock.now += 3
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert timer.seconds['network'] == 3


def test_table(clock):
    timer = StageTimer()
    with timer('network'):
        clock.now += 6
    with timer('encode'):
        clock.now += 2
    clock.now += 2
    lines = timer.table(frames=20).splitlines()
    assert lines[1].split() == ['network', '6.00', '60.0%', '300.00']
    assert lines[2].split() == ['encode', '2.00', '20.0%', '100.00']
    assert lines[3].split() == ['other', '2.00', '20.0%', '100.00']
    assert lines[4].split() == ['total', '10.00', '100.0%', '500.00']
    assert lines[5] == '2.0 frames/s; most of the time goes to: network'
