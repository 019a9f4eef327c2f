import torch

from mmavs.utils.weight_fit import compare_weights, shortened


def test_names_and_shapes_are_sorted_into_four_lists():
    model = dict(a=torch.ones(2), b=torch.ones(2, 3), c=torch.ones(1), note='no tensor')
    file = dict(a=torch.zeros(2), b=torch.ones(3, 2), d=torch.ones(1), version=3)
    fit = compare_weights(model, file)
    assert fit == (['a'], ['c'], ['d'], ['b (3, 2) instead of (2, 3)'])
    assert not fit.complete
    assert fit.problems == 'it lacks c; it has unknown d; it has b (3, 2) instead of (2, 3)'


def test_equal_names_and_shapes_are_complete_whatever_the_values():
    fit = compare_weights(torch.nn.Linear(2, 3).state_dict(), torch.nn.Linear(2, 3).state_dict())
    assert fit.complete
    assert fit.problems == ''
    assert fit.fitting == ['bias', 'weight']


def test_long_lists_are_shortened():
    assert shortened(['a', 'b', 'c']) == 'a, b, c'
    assert shortened(['a', 'b', 'c', 'd', 'e']) == 'a, b, c and 2 more'
