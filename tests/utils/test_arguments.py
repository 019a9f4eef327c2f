import numpy as np
import pytest
from mmengine.config import ConfigDict

from mmavs.utils.arguments import check_number, check_numbers, check_whole, check_wholes


@pytest.mark.parametrize('value', [1, 7, np.int64(3)])
def test_whole_numbers(value):
    check_whole('x', value)


@pytest.mark.parametrize('value', [0, -1, 1.0, '1', None, True, [1], float('nan')])
def test_what_is_no_whole_number_from_1(value):
    with pytest.raises(ValueError) as caught:
        check_whole('depth of Net', value)
    assert str(caught.value) == f'depth of Net must be a whole number of at least 1, but got {value!r}'


def test_the_lowest_whole_number_can_be_chosen():
    check_whole('x', 0, lowest=0)
    with pytest.raises(ValueError, match='of at least 2, but got 1'):
        check_whole('x', 1, lowest=2)


@pytest.mark.parametrize('values', [(1, 2), [3, 4], ConfigDict(a=[5, 6]).a])
def test_lists_of_whole_numbers(values):
    check_wholes('x', values, 2)


@pytest.mark.parametrize('values', [(1, ), (1, 2, 3), (1, 0), (1, 2.0), 12, '12', None, {1: 2, 3: 4}])
def test_what_is_no_list_of_two_whole_numbers(values):
    with pytest.raises(ValueError) as caught:
        check_wholes('widths', values, 2)
    assert str(caught.value) == f'widths must be 2 whole numbers of at least 1, but got {values!r}'


@pytest.mark.parametrize(('value', 'limits', 'fits'), [
    (0, (0, 1), True), (1, (0, 1), True), (0.5, (0, 1), True), (np.float32(0.5), (0, 1), True), (1.01, (0, 1), False),
    (-0.01, (0, 1), False), ('0.5', (0, 1), False), (True, (0, 1), False), (float('nan'), (0, 1), False),
    (1, (0, 1, True), False), (0.99, (0, 1, True), True), (10**9, (0, ), True), (None, (0, ), False)])
def test_numbers_in_a_range(value, limits, fits):
    if fits:
        check_number('x', value, *limits)
        return
    span = {1: 'of at least 0', 2: '[0, 1]', 3: '[0, 1)'}[len(limits)]
    with pytest.raises(ValueError, match='x must be a number ') as caught:
        check_number('x', value, *limits)
    assert str(caught.value).endswith(f'{span}, but got {value!r}')


def test_lists_of_numbers():
    check_numbers('x', (1, 2.5, -3), 3)
    for values in ((1, 2), (1, 2, '3'), 5, 'abc', None):
        with pytest.raises(ValueError, match='x must be 3 numbers, but got'):
            check_numbers('x', values, 3)
