import cv2
import numpy as np
import pytest
from PIL import Image

from mmavs.structures.avss_classes import avss_palette
from mmavs.visualization import read_frames, write_masks, write_picture
from mmavs.visualization.files import write_bytes


def test_picture_is_written_as_rgb_and_read_back_equal(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    write_picture(tmp_path / 'new' / 'a.png', picture)
    assert (np.asarray(Image.open(tmp_path / 'new' / 'a.png')) == picture).all()
    assert (read_frames([tmp_path / 'new' / 'a.png'])[0] == picture).all()
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.png']


def test_failed_write_leaves_the_old_file_and_no_leftovers(tmp_path):
    write_bytes(tmp_path / 'a.bin', b'old')
    with pytest.raises(TypeError):
        write_bytes(tmp_path / 'a.bin', 'not bytes')
    assert (tmp_path / 'a.bin').read_bytes() == b'old'
    assert len(list(tmp_path.iterdir())) == 1


def test_binary_masks_are_black_and_white(tmp_path):
    masks = np.array([[[0, 1]], [[1, 1]]], np.uint8)
    write_masks(tmp_path, masks, num_classes=2)
    assert cv2.imread(str(tmp_path / '0.png'), cv2.IMREAD_UNCHANGED).tolist() == [[0, 255]]
    assert cv2.imread(str(tmp_path / '1.png'), cv2.IMREAD_UNCHANGED).tolist() == [[255, 255]]


def test_semantic_masks_keep_their_indices_and_carry_the_palette(tmp_path):
    write_masks(tmp_path, np.array([[[0, 5, 70]]], np.uint8), num_classes=71)
    image = Image.open(tmp_path / '0.png')
    assert image.mode == 'P'
    assert np.asarray(image).tolist() == [[0, 5, 70]]
    assert np.asarray(image.convert('RGB'))[0].tolist() == avss_palette(71)[[0, 5, 70]].tolist()


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'frame .*gone\.png does not exist'):
        read_frames([tmp_path / 'gone.png'])
    (tmp_path / 'text.png').write_text('no picture')
    with pytest.raises(ValueError, match=r'text\.png is not a picture'):
        read_frames([tmp_path / 'text.png'])
    with pytest.raises(ValueError, match=r'must end in \.png or \.jpg'):
        write_picture(tmp_path / 'a.gif', np.zeros((2, 2, 3), np.uint8))
