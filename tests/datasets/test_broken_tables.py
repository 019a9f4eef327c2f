"""One row for each way the tables and folders of a data set can be broken: one sentence when the dataset is built."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mmavs.datasets import AVSBenchDataset
from tests.datasets.damage import become_a_folder, dangle, hold, loop, remove

FOLDERS = dict(s4='Single-source', ms3='Multi-sources', avss='AVSBench-semantic')
TABLES = dict(s4='s4_meta_data.csv', ms3='ms3_meta_data.csv', avss='metadata.csv')


def line(number: int, text: str):
    """Replaces one line of the table; 0 is the header."""

    def harm(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number] = text
        path.write_text('\n'.join(lines))

    return harm


def more(text: str):
    return lambda path: path.write_text(path.read_text() + text)


def repeat_line(path: Path) -> None:
    path.write_text(path.read_text() + path.read_text().splitlines()[1])


def classes(numbers: dict) -> str:
    return json.dumps(numbers).encode()


# Name: (subset, what happens to its table, what the message says).
TABLE_DAMAGES = {
    'table missing': ('ms3', remove, 'has neither ms3_meta_data.csv nor Multi-sources/ms3_meta_data.csv'),
    'table that links to nothing': ('ms3', dangle, 'has neither ms3_meta_data.csv'),
    'table that links to itself': ('s4', loop, 'has neither s4_meta_data.csv'),
    'table that is a folder': ('s4', become_a_folder, 'has neither s4_meta_data.csv'),
    'table of no bytes': ('ms3', hold(b''), r"lacks the columns \['video_id', 'split'\]; its first line holds \[\]"),
    'table of a header': ('ms3', hold(b'video_id,split\n'), "has no clip of split 'test'; look into its table"),
    'split column missing': ('s4', line(0, 'name,start_time,category,part'), r"lacks the columns \['split'\]"),
    'fewer columns than S4 has': ('s4', hold(b'name,split\na,test'), 'expected name, start_time, category and split'),
    'column of another name': ('ms3', line(0, 'video,split'), r"lacks the columns \['video_id'\]"),
    'label column missing': ('avss', line(0, 'vid,uid,s_min,s_sec,a_obj,split,kind'), r"lacks the columns \['label'\]"),
    'semicolons': ('ms3', lambda path: path.write_text(path.read_text().replace(',', ';')), 'lacks the columns'),
    'column twice': ('ms3', line(0, 'video_id,split,split'), r"has the columns \['split'\] more than once"),
    'row cut off': ('avss', line(2, 'a,b,0'), 'line 3: 3 values for 7 columns'),
    'clip twice': ('ms3', repeat_line, r"'shapes-train-00000_1' more than once: line 2 is .* line 12"),
    'clip twice in S4': ('s4', repeat_line, 'more than once'),
    'clip in two splits of S4': ('s4', more('x_1,0,dog,train\nx_1,0,dog,test\n'), "'x_1' more than once: line 12 is"),
    'clip in two categories of S4': ('s4', more('x_1,0,dog,test\nx_1,0,cat,test\n'), "'x_1' more than once"),
    'clip under two labels of AVSS': ('avss', more('v,u,0,0,o,test,v1s\nv,u,0,0,o,test,v2\n'), "'u' more than once"),
    'unknown split': ('ms3', more('a,validation\n'), r"clip 'a' has the split 'validation'; the splits are \['train'"),
    'split in capitals': ('ms3', more('a,Test\n'), "has the split 'Test'"),
    'unknown label': ('avss', more('v,u,0,0,o,test,v3\n'), r"clip 'u' has the label 'v3'; the labels are \['v1s'"),
    'name that leaves the folder': ('ms3', more('../../secret,test\n'), 'cannot be the name of a clip'),
    'name that is a path': ('s4', more('/etc/passwd,0,dog,test\n'), 'cannot be the name of a clip'),
    'no name': ('ms3', more(',test\n'), 'cannot be the name of a clip'),
    'category that leaves the folder': ('s4', more('a,0,..,test\n'), 'cannot be the name of a clip'),
    'UTF-16': ('ms3', lambda path: path.write_text(path.read_text(), encoding='utf-16'), 'is no csv file in UTF-8'),
    'a picture': ('ms3', hold(bytes(range(128, 256)) * 9), 'is no csv file in UTF-8'),
    'an unclosed quote': ('ms3', more('"' + 'a' * 200_000), 'is no csv file in UTF-8: field larger'),
}
CLASS_DAMAGES = {
    'cut off': b'{"background": 1, "acc',
    'no bytes': b'',
    'a list': b'["background"]',
    'one class too few': classes({f'class {i}': i for i in range(1, 71)}),
    'a number twice': classes({f'class {i}': max(i, 2) for i in range(1, 72)}),
    'names as numbers': classes({f'class {i}': str(i) for i in range(1, 72)}),
    'no text': b'\xff\xfe\x00',
}


@pytest.fixture
def root(shapes_root, tmp_path):
    """The tables alone, which the test may break."""
    for subset, folder in FOLDERS.items():
        (tmp_path / folder).mkdir()
        shutil.copy(shapes_root / folder / TABLES[subset], tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize('on_error', ['raise', 'skip'])
@pytest.mark.parametrize('damage', TABLE_DAMAGES)
def test_a_broken_table_is_named_at_once(root, damage, on_error):
    subset, harm, message = TABLE_DAMAGES[damage]
    table = root / FOLDERS[subset] / TABLES[subset]
    harm(table)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        AVSBenchDataset(subset=subset, split='test', data_root=str(root), on_error=on_error)
    assert str(root) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('damage', CLASS_DAMAGES)
def test_broken_class_names(root, damage):
    (root / FOLDERS['avss'] / 'label2idx.json').write_bytes(CLASS_DAMAGES[damage])
    with pytest.raises(ValueError, match=r'label2idx\.json must map 71 names to consecutive numbers; restore it'):
        AVSBenchDataset(subset='avss', split='test', data_root=str(root))


@pytest.mark.parametrize('harm', [remove, dangle, loop, hold(b'')], ids=['gone', 'dangling', 'loop', 'file'])
def test_a_root_that_is_none(tmp_path, harm):
    path = tmp_path / 'data'
    path.touch()
    harm(path)
    with pytest.raises(FileNotFoundError, match=rf"data_root '{path}' does not exist; set data_root"):
        AVSBenchDataset(subset='s4', split='test', data_root=str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read every folder')
def test_folders_without_permission(root):
    (root / FOLDERS['ms3']).chmod(0)
    try:
        with pytest.raises((ValueError, FileNotFoundError), match=f'{root}'):
            AVSBenchDataset(subset='ms3', split='test', data_root=str(root))
    finally:
        (root / FOLDERS['ms3']).chmod(0o755)


def quote_all(text: str) -> str:
    return '\n'.join(','.join(f'"{cell}"' for cell in row.split(',')) for row in text.splitlines())


# Unusual, and all right: name -> the bytes of the table from its text.
HARMLESS = {
    'byte order mark': lambda text: b'\xef\xbb\xbf' + text.encode(),
    'Windows line ends': lambda text: '\r\n'.join(text.splitlines()).encode(),
    'Unix line ends': lambda text: '\n'.join(text.splitlines()).encode(),
    'as Excel writes it': lambda text: b'\xef\xbb\xbf' + '\r\n'.join(text.splitlines()).encode(),
    'no newline at the end': lambda text: text.rstrip().encode(),
    'blank lines': lambda text: text.replace('\n', '\n\n').encode() + b'\n,,,\n\n',
    'quotes': lambda text: quote_all(text).encode(),
    'spaces': lambda text: text.replace(',', ' , ').encode(),
    'a column more': lambda text: '\n'.join(row + ',note' for row in text.splitlines()).encode(),
}


@pytest.mark.parametrize('subset', FOLDERS)
@pytest.mark.parametrize('change', HARMLESS)
def test_unusual_tables_give_the_same_clips(root, shapes_root, subset, change):
    table = root / FOLDERS[subset] / TABLES[subset]
    table.write_bytes(HARMLESS[change](table.read_bytes().decode()))
    settings = dict(subset=subset, split='test')
    found, expected = (AVSBenchDataset(data_root=str(path), **settings) for path in (root, shapes_root))
    assert [found.get_data_info(i)['video_id'] for i in range(3)] == [
        expected.get_data_info(i)['video_id'] for i in range(3)]
    assert found.get_data_info(2)['img_path'] == [
        path.replace(str(shapes_root), str(root)) for path in expected.get_data_info(2)['img_path']]
