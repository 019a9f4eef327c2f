import cv2
import numpy as np
import pytest

from mmavs.visualization.html_report import media_name, write_clip_media
from mmavs.visualization.html_report.clip_media import draw_layers

from .samples import ODD_ID, SIZE, T, write_clip

AMBER, GREEN, BLUE, VERMILLION = (255, 190, 11), (0, 158, 115), (86, 180, 233), (213, 94, 0)


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_sheet_has_a_column_per_frame_and_a_row_per_layer(tmp_path):
    media = write_clip(tmp_path, 'v', seconds=2, category='dog')
    assert media.layers == ('frame', 'truth', 'prediction', 'errors')
    assert (media.num_frames, media.width, media.height) == (T, SIZE, SIZE)
    assert (media.has_log_mel, media.has_sound, media.category, media.classes) == (True, True, 'dog', {})
    folder = tmp_path / 'media' / media.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        'frames.jpg', 'log_mel.jpg', 'sound.wav', 'thumbnails.jpg']
    sheet = read(folder / 'frames.jpg')
    assert sheet.shape == (4 * SIZE, T * SIZE, 3)
    # Frames are grey; JPEG is not exact.
    for column, grey in enumerate((100, 150, 200)):
        cell = sheet[:SIZE, column * SIZE:(column + 1) * SIZE].astype(int)
        assert abs(cell[4:-4, 4:-4] - grey).max() <= 3
    assert read(folder / 'log_mel.jpg').shape == (128, T * 192, 3)


def test_layers_show_what_their_names_say():
    grey = 100
    truth = np.zeros((1, SIZE, SIZE), np.uint8)
    truth[:, :, :SIZE // 2] = 1
    layers = draw_layers([np.full((SIZE, SIZE, 3), grey, np.uint8)], truth, truth.transpose(0, 2, 1),
                         np.array([(0, 0, 0), AMBER], np.uint8))
    upper_left, lower_left, upper_right, lower_right = (8, 8), (24, 8), (8, 24), (24, 24)
    amber = [round(0.4 * grey + 0.6 * value) for value in AMBER]
    dimmed = [60] * 3
    for name, marked in (('truth', (upper_left, lower_left)), ('prediction', (upper_left, upper_right))):
        for place in (upper_left, lower_left, upper_right, lower_right):
            expected = amber if place in marked else dimmed
            assert layers[name][0][place] == pytest.approx(expected, abs=1), (name, place)
        assert (layers[name][0] == 255).all(axis=2).any(), 'the regions have a white border'
    base = 0.55 * grey
    for place, colour in ((upper_left, GREEN), (lower_left, BLUE), (upper_right, VERMILLION)):
        expected = [0.25 * base + 0.75 * value for value in colour]
        assert layers['errors'][0][place] == pytest.approx(expected, abs=1), place
    assert layers['errors'][0][lower_right] == pytest.approx([base] * 3, abs=1)


def test_layers_without_truth_and_without_masks(tmp_path):
    frames = [np.zeros((8, 8, 3), np.uint8)] * 2
    masks = np.zeros((2, 8, 8), np.uint8)
    assert write_clip_media(tmp_path, 'a', frames, prediction=masks).layers == ('frame', 'prediction')
    media = write_clip_media(tmp_path, 'b', frames)
    assert (media.layers, media.has_sound, media.has_log_mel) == (('frame', ), False, False)
    assert read(tmp_path / 'media' / media.folder / 'frames.jpg').shape == (8, 16, 3)


def test_large_frames_are_shrunk_and_thumbnails_fit_a_card(tmp_path):
    media = write_clip_media(tmp_path, 'v', [np.zeros((90, 160, 3), np.uint8)] * 10, frame_width=80)
    assert (media.width, media.height) == (80, 45)
    folder = tmp_path / 'media' / media.folder
    assert read(folder / 'frames.jpg').shape == (45, 800, 3)
    assert read(folder / 'thumbnails.jpg').shape == (36, 640, 3)
    # 2000 frames of 80 pixels would be wider than a JPEG can be.
    long = write_clip_media(tmp_path, 'long', [np.zeros((9, 80, 3), np.uint8)] * 2000, frame_width=80)
    assert long.width == 32


def test_classes_that_occur_are_named(tmp_path):
    frames = [np.zeros((8, 8, 3), np.uint8)]
    truth = np.full((1, 8, 8), 255, np.uint8)
    truth[0, :4] = 2
    prediction = np.zeros((1, 8, 8), np.uint8)
    prediction[0, 0, 0] = 1
    classes, palette = ('background', 'dog', 'guitar', 'car'), [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    media = write_clip_media(tmp_path, 'v', frames, truth=truth, prediction=prediction, classes=classes,
                             palette=palette)
    assert media.classes == {'dog': 'rgb(255, 0, 0)', 'guitar': 'rgb(0, 255, 0)'}
    sheet = read(tmp_path / 'media' / media.folder / 'frames.jpg').astype(int)
    assert sheet[10, 4, 1] > 120 > sheet[10, 4, 0] + 60, 'class 2 is green in the truth'
    assert write_clip_media(tmp_path, 'w', frames, truth=truth * 0, classes=('background', 'sounding')).classes == {}


@pytest.mark.parametrize(('video_id', 'start'), [
    ('-abc_1', 'abc_1-'), ('../../up', 'up-'), ('C:\\x y', 'C_x_y-'), (ODD_ID, 'b_script_script_alert_1_script'),
    ('', 'clip-'), ('ü' * 99, 'clip-'), ('long' * 99, 'longlong')])
def test_folder_names_are_plain_on_every_system(video_id, start):
    name = media_name(video_id)
    assert name.startswith(start)
    assert len(name) <= 69
    assert set(name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-')


def test_folder_names_differ_where_a_file_system_would_mix_the_ids_up():
    ids = ['abc', 'ABC', 'a/b', 'a_b', 'a?b', '']
    assert len({media_name(video_id).lower() for video_id in ids}) == len(ids)


def test_bad_clips_are_refused(tmp_path):
    with pytest.raises(ValueError, match='clip v has no frames'):
        write_clip_media(tmp_path, 'v', [])
    with pytest.raises(ValueError, match='clip v: truth has 3 entries, but there are 1 frames'):
        write_clip_media(tmp_path, 'v', [np.zeros((8, 8, 3), np.uint8)], truth=np.zeros((3, 8, 8), np.uint8))
