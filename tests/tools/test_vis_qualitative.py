import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmavs.utils.building import build_dataset
from mmavs.visualization import write_masks
from tests.tools.loading import load_tool

tool = load_tool('analysis_tools/vis_qualitative.py')


@pytest.fixture
def folders(small_config, tmp_path):
    """Two result folders: everything marked, and the truth itself."""
    dataset = build_dataset(Config.fromfile(small_config), 'test')
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        truth = sample.gt_sem_seg.data.numpy()
        write_masks(tmp_path / 'full' / sample.video_id, np.ones_like(truth), 2)
        write_masks(tmp_path / 'exact' / sample.video_id, truth, 2)
    return [str(tmp_path / 'full'), str(tmp_path / 'exact')]


def test_rows_are_frames_truth_and_methods(small_config, folders):
    dataset = build_dataset(Config.fromfile(small_config), 'test')
    rows = tool.clip_rows(dataset[0], [tool.Path(folder) for folder in folders], None, 'mask', 64)
    assert [len(row) for row in rows] == [5] * 4
    truth = dataset[0]['data_samples'].gt_sem_seg.data.numpy()
    for second in range(5):
        assert (rows[1][second] == 255 * truth[second][..., None]).all()
        assert (rows[2][second] == 255).all()
        assert (rows[3][second] == rows[1][second]).all()


def test_figure_places_clips_side_by_side(small_config, folders, tmp_path):
    out = tmp_path / 'figure.png'
    arguments = [small_config, '--results', *folders, '--names', 'all', 'oracle', '--cell-width', '40',
                 '--out', str(out)]
    assert tool.main([*arguments, '--num', '1']) == 0
    one = Image.open(out).size
    assert tool.main([*arguments, '--num', '2', '--style', 'overlay']) == 0
    two = Image.open(out).size
    assert two[1] == one[1] == 10 + 36 + 4 * 40 + 3 * 3 + 10
    assert two[0] > 1.5 * one[0]


def test_order_of_masks_follows_their_number_not_their_text(tmp_path):
    masks = np.zeros((11, 2, 2), np.uint8)
    masks[10] = 1
    write_masks(tmp_path / 'clip', masks, 2)
    read = tool.read_masks(tmp_path / 'clip', 11, binary=True)
    assert [int(mask.max()) for mask in read] == [0] * 10 + [1]


def test_semantic_masks_keep_their_classes(tmp_path):
    write_masks(tmp_path / 'clip', np.array([[[0, 70]]], np.uint8), 71)
    assert tool.read_masks(tmp_path / 'clip', 1, binary=False)[0].tolist() == [[0, 70]]


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--results', 'gone'], 'result folder gone does not exist.'),
    (['--results', '{0}', '--names', 'a', 'b'], '--names has 2 names for 1 result folders.'),
    (['--results', '{0}', '--videos', 'nobody'], '--videos nobody: not in this split'),
    (['--results', '{empty}'], 'no clip of the split has a folder <video_id>/'),
    (['--results', '{0}', '--cell-width', '2'], '--cell-width must be at least 16'),
])
def test_bad_input_is_one_sentence(arguments, message, small_config, folders, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit) as stop:
        tool.main([small_config, *(argument.format(*folders, empty=tmp_path / 'empty') for argument in arguments)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_wrong_masks_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone does not exist'):
        tool.read_masks(tmp_path / 'gone', 5, True)
    write_masks(tmp_path / 'clip', np.zeros((3, 2, 2), np.uint8), 2)
    with pytest.raises(ValueError, match='has 3 masks, but the clip has 5 frames'):
        tool.read_masks(tmp_path / 'clip', 5, True)
    Image.new('RGB', (2, 2)).save(tmp_path / 'clip' / '2.png')
    with pytest.raises(ValueError, match=r'2\.png is a colour picture'):
        tool.read_masks(tmp_path / 'clip', 3, True)
