from fractions import Fraction
from types import SimpleNamespace

import pytest

from mmavs.apis.instants import at_instants, instant, phases


def frames(*times, length=Fraction(1, 10)):
    ends = [*times[1:], times[-1] + length]
    return [SimpleNamespace(seconds=Fraction(time), until=Fraction(end), number=number)
            for number, (time, end) in enumerate(zip(times, ends, strict=True))]


def taken(film, fps=1):
    return [(float(seconds), frame.number) for seconds, frame in at_instants(film, fps)]


def test_published_instants():
    assert phases(1) == [Fraction(15, 16)]
    assert [float(instant(index, phases(1))) for index in range(3)] == [0.9375, 1.9375, 2.9375]


@pytest.mark.parametrize(('fps', 'expected'), [
    (2, [0.4375, 0.9375]), (4, [0.1875, 0.4375, 0.6875, 0.9375]), (16, [index / 16 for index in range(16)]),
    (25, [index / 25 for index in range(25)])])
def test_more_masks_a_second(fps, expected):
    assert [float(value) for value in phases(fps)] == pytest.approx(expected)
    assert float(instant(fps + 1, phases(fps))) == pytest.approx(1 + expected[1])


@pytest.mark.parametrize('fps', [0, -1, 61, 1.0, True, '2'])
def test_wrong_rates(fps):
    with pytest.raises(ValueError, match='must be a whole number of masks per second, 1 to 60'):
        phases(fps)


def test_sixteen_frames_a_second_give_the_last_of_each():
    film = frames(*[Fraction(index, 16) for index in range(48)], length=Fraction(1, 16))
    assert taken(film) == [(0.9375, 15), (1.9375, 31), (2.9375, 47)]


def test_the_picture_that_is_shown_is_taken():
    assert taken(frames(0, Fraction(93, 100), Fraction(94, 100), Fraction(199, 100))) == [(0.9375, 1), (1.9375, 2)]


def test_a_picture_lasts_until_the_next():
    assert taken(frames(0, 3)) == [(0.9375, 0), (1.9375, 0), (2.9375, 0)]
    assert taken(frames(0, length=5)) == [(k + 0.9375, 0) for k in range(5)]


def test_before_the_first_picture_the_first_is_taken():
    assert taken(frames(Fraction(5, 2), 3, length=1)) == [(0.9375, 0), (1.9375, 0), (2.9375, 0), (3.9375, 1)]


def test_film_shorter_than_an_instant():
    assert taken(frames(0, Fraction(1, 10))) == [(0.1, 1)]
    assert taken(frames(0)) == [(0.0, 0)]
    assert list(at_instants([], 1)) == []


def test_pictures_are_taken_as_they_come():
    def endless():
        for index in range(10 ** 9):
            yield from frames(Fraction(index, 10))

    stream = at_instants(endless(), 1)
    assert [float(next(stream)[0]) for _ in range(2)] == [0.9375, 1.9375]
