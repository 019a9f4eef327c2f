import json
import os

import pytest

from mmavs.datasets.avsbench_layouts import (
    LISTERS,
    find_folder,
    list_avss,
    list_ms3,
    list_s4,
    read_class_names,
    read_table,
    source_video,
)
from mmavs.structures import AVSS_CLASSES


def write(path, text: str, encoding: str = 'utf-8') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


@pytest.mark.parametrize('subset', ['s4', 'ms3', 'avss'])
def test_the_folder_or_its_parent(shapes_root, subset):
    folder = find_folder(str(shapes_root), subset)
    assert folder.parent == shapes_root
    assert find_folder(str(folder), subset) == folder


def test_a_missing_root_names_it_and_the_way_out(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none' does not exist.*MMAVS_DATA_ROOT.*make_sounding_shapes"):
        find_folder(str(tmp_path / 'none'), 's4')


def test_a_root_without_the_subset(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither ms3_meta_data\.csv nor Multi-sources/ms3_meta_data\.csv"):
        find_folder(str(tmp_path), 'ms3')


@pytest.mark.parametrize('subset', ['s4', 'ms3', 'avss'])
def test_every_listed_path_exists_in_generated_data(shapes_root, subset):
    clips = LISTERS[subset](find_folder(str(shapes_root), subset))
    assert len(clips) == 10
    for clip in clips:
        paths = clip['img_path'] + [path for path in clip['seg_map_path'] if path] + [clip['audio_path']]
        if subset != 'avss':
            paths.append(clip['audio_logmel_path'])
        assert [path for path in paths if not os.path.isfile(path)] == []


def test_s4_paths_as_published(tmp_path):
    write(tmp_path / 's4_meta_data.csv', 'name,start_time,category,split\nabc_5,5,dog_barking,train\nd,0,cat,val\n')
    train, val = list_s4(tmp_path)
    base = tmp_path / 's4_data'
    assert train['img_path'][4] == str(base / 'visual_frames/train/dog_barking/abc_5/abc_5_5.png')
    assert train['seg_map_path'] == [str(base / 'gt_masks/train/dog_barking/abc_5/abc_5_1.png')] + [None] * 4
    assert train['audio_path'] == str(base / 'audio_wav/train/dog_barking/abc_5.wav')
    assert train['audio_logmel_path'] == str(base / 'audio_log_mel/train/dog_barking/abc_5.pkl')
    assert val['seg_map_path'][4] == str(base / 'gt_masks/val/cat/d/d_5.png')
    assert (train['video_id'], train['category'], train['mask_format']) == ('abc_5', 'dog_barking', 'binary')


def test_s4_reads_columns_0_and_2_by_position_and_split_by_name(tmp_path):
    write(tmp_path / 's4_meta_data.csv', 'id,t,label,split\nabc,0,dog,test\n')
    assert list_s4(tmp_path)[0]['audio_path'].endswith('audio_wav/test/dog/abc.wav')


def test_ms3_paths_as_published(tmp_path):
    write(tmp_path / 'ms3_meta_data.csv', 'video_id,split\nabc_1,test\n')
    clip = list_ms3(tmp_path)[0]
    base = tmp_path / 'ms3_data'
    assert clip['img_path'][0] == str(base / 'visual_frames/abc_1/abc_1.mp4_1.png')
    assert clip['seg_map_path'][4] == str(base / 'gt_masks/test/abc_1/abc_1_5.png')
    assert clip['audio_path'] == str(base / 'audio_wav/test/abc_1.wav')
    assert clip['audio_logmel_path'] == str(base / 'audio_log_mel/test/abc_1.pkl')
    assert clip['category'] is None


AVSS_HEADER = 'vid,uid,s_min,s_sec,a_obj,split,label\n'


def test_avss_frames_labels_and_the_doubled_folder(tmp_path):
    rows = ['v,one,0,0,x,train,v1s', 'v,two,0,0,x,train,v1m', 'v,three,0,0,x,train,v2', 'v,four,0,0,x,test,v1s']
    write(tmp_path / 'metadata.csv', AVSS_HEADER + '\n'.join(rows))
    (tmp_path / 'v1s/one/labels_semantic').mkdir(parents=True)
    (tmp_path / 'v1m/v1m/two/labels_rgb').mkdir(parents=True)
    one, two, three, four = list_avss(tmp_path)
    assert [len(clip['img_path']) for clip in (one, two, three, four)] == [5, 5, 10, 5]
    assert one['seg_map_path'] == [str(tmp_path / 'v1s/one/labels_semantic/0.png')] + [None] * 4
    assert (one['mask_format'], two['mask_format']) == ('index', 'palette')
    assert two['img_path'][4] == str(tmp_path / 'v1m/v1m/two/frames/4.jpg')
    assert two['seg_map_path'][4] == str(tmp_path / 'v1m/v1m/two/labels_rgb/4.png')
    assert three['seg_map_path'][9].endswith('v2/three/labels_rgb/9.png')
    assert None not in four['seg_map_path']
    assert one['audio_path'] == str(tmp_path / 'v1s/one/audio.wav')
    assert one['audio_logmel_path'] is None


def test_avss_refuses_an_unknown_label(tmp_path):
    write(tmp_path / 'metadata.csv', AVSS_HEADER + 'v,one,0,0,x,train,v3\n')
    with pytest.raises(ValueError, match=r"metadata\.csv: clip 'one' has the label 'v3'; the labels are"):
        list_avss(tmp_path)


def test_a_table_from_windows(tmp_path):
    write(tmp_path / 't.csv', '\ufeffvideo_id,split\r\nabc,train\r\n\r\n"d,e" ,test\r\n')
    header, rows = read_table(tmp_path / 't.csv', ('video_id', 'split'))
    assert header == ['video_id', 'split']
    assert rows == [(2, ['abc', 'train']), (4, ['d,e', 'test'])]
    write(tmp_path / 't.csv', 'video_id,split,,\nabc,train,,\n')
    assert read_table(tmp_path / 't.csv', ('video_id', 'split'))[1] == [(2, ['abc', 'train', '', ''])], 'empty columns'


@pytest.mark.parametrize(('text', 'encoding', 'message'), [
    ('video_id\nabc\n', 'utf-8', r"t\.csv lacks the columns \['split'\]; its first line holds \['video_id'\]"),
    ('', 'utf-8', r"lacks the columns \['video_id', 'split'\]"),
    ('video_id,split\nabc,train\ndef\n', 'utf-8', r't\.csv, line 3: 1 values for 2 columns'),
    ('video_id,split\nabc,train\n', 'utf-16', r't\.csv is no csv file in UTF-8'),
    ('video_id,split\n\xe9\xe8,train\n', 'latin-1', r't\.csv is no csv file in UTF-8')])
def test_broken_tables(tmp_path, text, encoding, message):
    write(tmp_path / 't.csv', text, encoding)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / 't.csv', ('video_id', 'split'))


def test_a_table_that_is_a_folder(tmp_path):
    with pytest.raises(ValueError, match='cannot be read: Is a directory'):
        read_table(tmp_path, ('split', ))


@pytest.mark.parametrize(('rows', 'message'), [
    ('a,train\na,train\n', r"ms3_meta_data\.csv lists the clip 'a' more than once"),
    ('a,train\na,test\n', 'more than once'), ('a,validation\n', "clip 'a' has the split 'validation'"),
    ('../a,train\n', 'cannot be the name of a clip'), (',train\n', 'cannot be the name of a clip'),
    ('..,train\n', 'cannot be the name of a clip')])
def test_rows_that_cannot_be(tmp_path, rows, message):
    write(tmp_path / 'ms3_meta_data.csv', 'video_id,split\n' + rows)
    with pytest.raises(ValueError, match=message):
        list_ms3(tmp_path)


@pytest.mark.parametrize('again', ['a,0,dog,train', 'a,0,cat,train', 'a,0,dog,test'])
def test_s4_refuses_one_name_twice_and_shows_both_rows(tmp_path, again):
    write(tmp_path / 's4_meta_data.csv', f'name,start_time,category,split\na,0,dog,train\n\nb,0,dog,val\n{again}\n')
    with pytest.raises(ValueError, match=rf"clip 'a' more than once: line 2 is 'a,0,dog,train', line 5 is '{again}'; "):
        list_s4(tmp_path)


def test_avss_refuses_one_name_under_two_labels(tmp_path):
    write(tmp_path / 'metadata.csv', AVSS_HEADER + 'v,one,0,0,x,train,v1s\nw,one,0,0,x,train,v2\n')
    with pytest.raises(ValueError, match=r"metadata\.csv lists the clip 'one' more than once: line 2 is 'v,.*line 3"):
        list_avss(tmp_path)


def test_s4_with_too_few_columns(tmp_path):
    write(tmp_path / 's4_meta_data.csv', 'name,split\na,train\n')
    with pytest.raises(ValueError, match='expected name, start_time, category and split'):
        list_s4(tmp_path)


@pytest.mark.parametrize(('video_id', 'source'), [
    ('-KBjHFnwQfU_2', '-KBjHFnwQfU'), ('abc_12_3', 'abc_12'), ('abc', 'abc'), ('a_b', 'a_b'), ('x__7', 'x_')])
def test_source_video(video_id, source):
    assert source_video(video_id) == source


@pytest.mark.parametrize('start', [0, 1])
def test_class_names_follow_the_numbers_whether_they_begin_at_0_or_1(tmp_path, start):
    names = [f'class-{i}' for i in range(71)]
    numbers = {name: i + start for i, name in reversed(list(enumerate(names)))}
    write(tmp_path / 'label2idx.json', json.dumps(numbers))
    assert read_class_names(tmp_path) == tuple(names)


def test_class_names_without_a_file(tmp_path):
    assert read_class_names(tmp_path) == AVSS_CLASSES


@pytest.mark.parametrize('text', [
    '', '[1, 2]', '{}', json.dumps({str(i): i for i in range(70)}), json.dumps({str(i): 2 * i for i in range(71)}),
    json.dumps({str(i): 'x' for i in range(71)}), '7'])
def test_a_broken_label2idx_is_named(tmp_path, text):
    write(tmp_path / 'label2idx.json', text)
    with pytest.raises(ValueError, match=r'label2idx\.json must map 71 names to consecutive numbers'):
        read_class_names(tmp_path)
