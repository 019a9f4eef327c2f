import json
import re
from html.parser import HTMLParser

import pytest

from mmavs.visualization.html_report import ClipMedia, write_page
from mmavs.visualization.html_report.page import json_for_script, merge_clips

from .samples import ODD_ID, make_report, scored, write_clip


class Parser(HTMLParser):
    """Tags in order, the text of table cells by row, and the content of scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.rows, self.scripts, self._open = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ('td', 'th', 'script'):
            self._open = tag
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')
        if tag == 'script':
            self.scripts.append('')

    def handle_endtag(self, tag):
        if tag in ('td', 'th', 'script'):
            self._open = None

    def handle_data(self, data):
        if self._open == 'script':
            self.scripts[-1] += data
        elif self._open is not None:
            self.rows[-1][-1] += data


@pytest.fixture
def page(tmp_path):
    clips = [scored('one', 20.0, 30.0, 'dog'), scored(ODD_ID, 80.126, 90.0, '<i>cat</i>')]
    media = [write_clip(tmp_path, clip['video_id'], seconds=1, category=clip['category']) for clip in clips]
    path = write_page(tmp_path, [make_report(clips)], media, title='a <title>', facts={'Weights': 'b&w.pth'})
    assert path == tmp_path / 'index.html'
    return Parser(path.read_text(encoding='utf-8')), path


def test_scores_intervals_and_categories_are_in_the_tables(page):
    rows = page[0].rows
    assert ['J', '61.23', '58.11 to 65.00'] in [row[:3] for row in rows]
    assert ['F', '70.50', '69.00 to 72.00'] in [row[:3] for row in rows]
    assert ['silent_clean', '\N{EN DASH}', '\N{EN DASH}'] in [row[:3] for row in rows]
    assert ['dog', '1', '50.00', '60.25', ''] in rows
    assert ['<i>cat</i>', '1', '50.00', '60.25', ''] in rows


def test_preset_is_named_with_its_warning(page, tmp_path):
    text = page[1].read_text(encoding='utf-8')
    assert 'preset dataset</span> pixels pooled' in text
    assert '(gt_interp = nearest, group_size = 1)' in text
    assert '<strong>Not comparable with other protocols:</strong> do not compare &lt;this&gt;.' in text
    quiet = write_page(tmp_path / 'quiet', [make_report([scored('a', 1.0, 2.0)], warning='')], [], title='t')
    assert 'Not comparable' not in quiet.read_text(encoding='utf-8')


def test_interval_is_drawn_where_it_lies(page):
    assert '<i style="width:61.23%"></i><b style="left:58.11%;width:6.89%"></b>' in page[1].read_text(encoding='utf-8')


def test_odd_names_stay_text(page):
    parser, path = page
    assert [tag for tag, _ in parser.tags].count('script') == 2
    text = path.read_text(encoding='utf-8')
    assert '<b>&' not in text
    assert 'alert(1)</script>' not in text
    assert '\u2028' not in text
    assert '<title>a &lt;title&gt; · mmavs report</title>' in text
    assert '<dd>b&amp;w.pth</dd>' in text
    assert {attrs['data-category'] for _, attrs in parser.tags if 'data-category' in attrs} == {'dog', '<i>cat</i>'}


def test_data_block_holds_every_clip(page):
    data = json.loads(page[0].scripts[0])
    assert [clip['id'] for clip in data['clips']] == ['one', ODD_ID]
    clip = data['clips'][1]
    assert (clip['J'], clip['F'], clip['category'], clip['silent']) == (80.13, 90.0, '<i>cat</i>', False)
    assert clip['frames'] == [dict(index=0, J=79.13, silent=False), dict(index=1, J=81.13, silent=False)]
    assert clip['media']['layers'] == ['frame', 'truth', 'prediction', 'errors']
    assert clip['media']['sound'] is True
    assert (page[1].parent / data['mediaFolder'] / clip['media']['folder'] / 'sound.wav').is_file()


def test_nothing_outside_the_folder_is_named(page):
    text = page[1].read_text(encoding='utf-8')
    assert 'http' not in text.replace('http-equiv', '')
    assert not re.search(r'["\'(]//\w', text)
    assert '@import' not in text
    # The only url() is that of the viewer's pictures, which the script fills in.
    assert re.findall(r'url\(.{0,18}', text) == ['url("${mediaFile(clip,']
    assert [attrs['href'] for tag, attrs in page[0].tags if 'href' in attrs] == ['data:,']
    assert not [attrs for tag, attrs in page[0].tags if 'src' in attrs]
    policy = next(attrs['content'] for tag, attrs in page[0].tags if attrs.get('http-equiv'))
    assert policy.startswith("default-src 'none'; img-src 'self' file: data:; media-src 'self' file:;")


def test_clips_and_files_are_joined_by_name():
    media = [ClipMedia(name, f'folder_{name}', 2, 8, 8, ('frame', ), False, False, 'dog') for name in 'zcab']
    clips = merge_clips([scored('b', 10.0, 20.0), scored('lost', 30.0, 40.0)], media)
    assert [(clip['id'], clip['J'], clip['media'] and clip['media']['folder']) for clip in clips] == [
        ('b', 10.0, 'folder_b'), ('lost', 30.0, None), ('a', None, 'folder_a'), ('c', None, 'folder_c'),
        ('z', None, 'folder_z')]
    assert clips[2]['category'] == 'dog'
    assert clips[2]['frames'] == []


def test_semantic_reports_and_several_metrics(tmp_path):
    clip = dict(video_id='v', category='v2', J=40.0, F=None, num_frames=1, frames=[dict(frame=0, J=40.0, F=50.0)])
    semantic = make_report([clip], metric='AVSSemanticMetric', preset='clean', warning='',
                           metrics={'avss/mIoU': 40.0, 'avss/F': 45.0}, intervals={'avss/mIoU': [30.0, 50.0]},
                           categories=[dict(category='guitar', num_clips=1, J=40.0, F=50.0)])
    text = write_page(tmp_path, [semantic, make_report([scored('v', 1.0, 1.0)])], [], title='t').read_text()
    assert '<h2>Per class</h2>' in text
    assert 'preset clean' in text
    assert 'F-measure (β² = 0.3), mean of all classes' in text
    assert 'preset dataset' in text
    assert json.loads(Parser(text).scripts[0])['clips'][0]['F'] is None


def test_page_without_metrics_shows_the_clips(tmp_path):
    text = write_page(tmp_path, [], [write_clip(tmp_path, 'v')], title='t').read_text(encoding='utf-8')
    assert 'No metric was evaluated.' in text
    assert [clip['id'] for clip in json.loads(Parser(text).scripts[0])['clips']] == ['v']


def test_json_cannot_leave_its_element():
    value = {'a': '</script><!--\u2028&'}
    text = json_for_script(value)
    assert not set('<>&\u2028') & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match='not JSON compliant'):
        json_for_script([float('nan')])
