import re

import pytest

from mmavs.visualization.html_report.tables import category_section, facts_list, number, summary_section

from .samples import make_report, scored


def cells(html):
    """Text of the cells of each row of the body."""
    body = html.partition('<tbody>')[2]
    return [[re.sub(r'<[^>]+>', '', cell) for cell in re.findall(r'<t[hd][ >].*?</t[hd]>', row)]
            for row in re.findall(r'<tr>.*?</tr>', body)]


def report(**changes):
    return make_report([scored('a', 1.0, 2.0, 'dog'), scored('b', 3.0, 4.0, 'cat')], **changes)


def test_a_row_per_score_with_its_interval_and_meaning():
    rows = cells(summary_section(report()))
    assert [row[:3] for row in rows] == [['J', '61.23', '58.11 to 65.00'], ['F', '70.50', '69.00 to 72.00'],
                                         ['silent_clean', '&ndash;', '&ndash;']]
    assert rows[0][3] == 'Jaccard index (IoU), pooled as the preset says'
    assert rows[2][3] == 'silent frames without any predicted pixel'


def test_a_score_means_what_it_means_in_its_metric_and_may_have_no_meaning():
    rows = cells(summary_section(report(metrics={'avs/F': 1.0, 'avss/F': 2.0, 'x/new': 3.0}, intervals={})))
    assert [row[3] for row in rows] == ['F-measure (β² = 0.3) at the best threshold, pooled as the preset says',
                                        'F-measure (β² = 0.3), mean of all classes', '']
    assert {row[2] for row in rows} == {'&ndash;'}


@pytest.mark.parametrize(('interval', 'drawn'), [
    ([20.0, 60.0], '<b style="left:20.00%;width:40.00%"></b>'),
    ([40.0, 40.0], '<b style="left:40.00%;width:0.00%"></b>'),
    ([None, 60.0], ''),
    (None, ''),
])
def test_bar_of_a_score(interval, drawn):
    html = summary_section(report(metrics={'avs/J': 40.0}, intervals={} if interval is None else {'avs/J': interval}))
    assert f'<span class="bar" aria-hidden="true"><i style="width:40.00%"></i>{drawn}</span>' in html


def test_an_unknown_score_has_an_empty_bar():
    html = summary_section(report(metrics={'avs/J': None}, intervals={'avs/J': [None, None]}))
    assert '<span class="bar" aria-hidden="true"></span>' in html
    assert '%"' not in html


def test_protocol_names_the_settings_that_are_set():
    html = summary_section(report(settings=dict(eval_size=224, gt_interp=None, note='<b>')))
    assert '(eval_size = 224, note = &lt;b&gt;)' in html
    assert 'gt_interp' not in html
    assert 'faint>(' not in summary_section(report(settings=dict(eval_size=None)))


def test_warning_is_there_only_when_the_report_warns():
    assert 'Not comparable with other protocols:</strong> use &lt;J&gt;.' in summary_section(report(warning='use <J>'))
    assert 'warning' not in summary_section(report(warning=''))


def test_categories_are_buttons_and_their_names_stay_text():
    rows = [dict(category='"><script>', num_clips=12, J=None, F=3.456)]
    html = category_section(report(categories=rows), 'Per class')
    assert cells(html) == [['&quot;&gt;&lt;script&gt;', '12', '&ndash;', '3.46', '']]
    assert 'data-category="&quot;&gt;&lt;script&gt;"' in html
    assert '<h2>Per class</h2>' in html
    assert category_section(report(categories=[]), 'Per class') == ''


def test_facts_are_escaped():
    assert facts_list({'Weights': 'a&b', 'Clips': 3}) == (
        '<div><dt>Weights</dt><dd>a&amp;b</dd></div><div><dt>Clips</dt><dd>3</dd></div>')
    assert facts_list({}) == ''


def test_numbers_have_two_decimals():
    assert [number(value) for value in (0.0, 99.999, 1 / 3, None)] == ['0.00', '100.00', '0.33', '&ndash;']
