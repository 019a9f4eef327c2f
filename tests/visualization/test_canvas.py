import numpy as np
import pytest

from mmavs.visualization.canvas import PAPER, Page, PictureRow, font, text_width


def solid(value, size=(20, 30)):
    return np.full((*size, 3), value, np.uint8)


def page(**changes):
    rows = [PictureRow('first', [solid(10), solid(20)], captions=['', 'note']),
            PictureRow('second', [solid(30, (8, 30)), None])]
    return Page(**(dict(rows=rows, headers=['a', 'b'], title='clip') | changes))


def test_pictures_stand_where_cell_says():
    drawn, layout = page().draw(), page()
    for row, column, value in ((0, 0, 10), (0, 1, 20), (1, 0, 30)):
        left, top, right, bottom = layout.cell(row, column)
        assert (drawn[top:bottom, left:right] == value).all()
        assert drawn[top - 1, left].tolist() != [value] * 3
        assert drawn[top, right].tolist() == list(PAPER)


def test_geometry_by_hand():
    layout = page(gap=6, margin=20)
    gutter = text_width('second', 13) + 14
    assert layout.cell(0, 0) == (20 + gutter, 20 + 36 + 20, 50 + gutter, 96)
    assert layout.cell(0, 1)[0] - layout.cell(0, 0)[2] == 6
    assert layout.cell(1, 0)[1] - layout.cell(0, 0)[3] == 20 + 6      # caption line and gap
    height, width, _ = layout.draw().shape
    assert height == layout.cell(1, 0)[3] + 20
    assert width == max(layout.cell(0, 1)[2] + 20, 40 + text_width('clip', 18, True) + 44)


def test_missing_picture_leaves_a_grey_cell():
    drawn, layout = page().draw(), page()
    left, top, right, bottom = layout.cell(1, 1)
    assert (drawn[top:bottom, left:right] == [236, 238, 241]).all()


def test_title_and_headers_take_room_only_when_given():
    assert page(title='', headers=[]).cell(0, 0)[1] == 20
    assert page(title='', headers=['a', '']).cell(0, 0)[1] == 40


def test_captions_are_under_their_picture_only():
    drawn, layout = page().draw(), page()
    left, _, right, bottom = layout.cell(0, 0)
    assert (drawn[bottom:bottom + 20, left:right] == PAPER).all()
    left, _, right, bottom = layout.cell(0, 1)
    assert (drawn[bottom:bottom + 20, left:right] < 128).any()


def test_page_widens_for_a_long_title():
    assert page(title='x' * 60).draw().shape[1] >= text_width('x' * 60, 18, True) + 40


def test_legend_wraps_and_shows_its_colours():
    names = [((index * 7, 200, 0), f'class {index}') for index in range(12)]
    drawn = page(legend=names).draw()
    plain = page().draw()
    lines = len({y for _, y in page(legend=names)._place_legend()})
    assert lines > 1
    assert drawn.shape[0] - plain.shape[0] == 10 + 22 * lines
    assert drawn.shape[1] == plain.shape[1]
    for colour, _ in names:
        assert ((drawn == colour).all(-1)).sum() > 100


def test_axis_names_widen_the_gutter():
    rows = [PictureRow('x', [solid(1)], scale=('a very long axis name', 'low'))]
    assert Page(rows=rows).gutter == text_width('a very long axis name', 10) + 14


def test_errors():
    with pytest.raises(ValueError, match='at least one row with one picture'):
        Page(rows=[PictureRow('empty', [None])]).draw()
    with pytest.raises(ValueError, match=r"row 'odd' must have one size, found \[\(2, 2\), \(3, 3\)\]"):
        Page(rows=[PictureRow('odd', [solid(1, (2, 2)), solid(1, (3, 3))])]).draw()


def test_font_is_the_one_that_comes_with_matplotlib():
    assert font(12).getname() == ('DejaVu Sans', 'Book')
    assert font(12, True).getname() == ('DejaVu Sans', 'Bold')
