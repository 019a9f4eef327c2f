import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from PIL import Image

from mmavs.structures import AVDataSample
from mmavs.utils.building import build_dataset
from mmavs.visualization import write_masks
from mmavs.visualization.canvas import FAINT
from mmavs.visualization.colours import SOUNDING_COLOUR
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
    panel = tool.draw_clip(dataset[0], [tool.Path(folder) for folder in folders], dataset.metainfo, 'mask', 64)
    assert (panel.title, panel.legend) == (dataset.get_data_info(0)['video_id'], [])
    rows = panel.rows
    assert [len(row) for row in rows] == [5] * 4
    truth = dataset[0]['data_samples'].gt_sem_seg.data.numpy()
    for second in range(5):
        assert (rows[1][second] == 255 * truth[second][..., None]).all()
        assert (rows[2][second] == 255).all()
        assert (rows[3][second] == rows[1][second]).all()


def test_overlay_style_is_seen_on_objects_of_the_masks_colour(small_config, folders):
    dataset = build_dataset(Config.fromfile(small_config), 'test')
    item = dataset[0]
    frame = np.full((64, 64, 3), SOUNDING_COLOUR, np.uint8)
    paths = [str(tool.Path(folders[0]) / f'amber_{second}.png') for second in range(5)]
    for path in paths:
        Image.fromarray(frame).save(path)
    item['data_samples'].set_metainfo(dict(img_path=paths))
    truth = np.zeros((5, 64, 64), np.uint8)
    truth[:, 16:48, 16:48] = 1
    item['data_samples'].gt_sem_seg.data = torch.from_numpy(truth)
    picture = tool.draw_clip(item, [], dataset.metainfo, 'overlay', 64).rows[1][0].astype(int)
    inside, outside, border = picture[32, 32], picture[4, 4], picture[32, 16]
    assert np.abs(inside - SOUNDING_COLOUR).max() < 65
    assert outside.max() < 0.65 * inside.max(), 'the rest is darker'
    assert border.min() > 220, 'white'


def test_classes_are_named_and_panels_of_several_heights_fit(tmp_path):
    def panel(classes):
        rows = [[np.full((20, 30, 3), 255, np.uint8)]] * 2
        return tool.Panel('v', rows, [((200, 0, 0), f'a long name of class {number}') for number in range(classes)])

    heights = [len(tool.figure([panel(number)], ['raw image', 'ground truth'])) for number in (0, 1, 6)]
    assert heights[0] < heights[1] < heights[2]
    both = tool.figure([panel(6), panel(0)], ['raw image', 'ground truth'])
    assert len(both) == heights[2]
    assert (both == (200, 0, 0)).all(-1).sum() > 6 * 100


def test_white_masks_are_framed():
    picture = tool.figure([tool.Panel('v', [[np.full((20, 30, 3), 255, np.uint8)]])], ['truth'])
    rows, columns = np.nonzero((picture == FAINT).all(-1))
    grey = np.zeros(picture.shape[:2], bool)
    grey[rows, columns] = True
    # A rectangle of 32 x 22 around the picture of 30 x 20; text is drawn in shades.
    top = next(y for y in range(len(grey)) if grey[y].sum() >= 32)
    left = np.flatnonzero(grey[top])[0]
    assert grey[top, left:left + 32].all()
    assert grey[top:top + 22, left + 31].all()
    assert grey[top + 21, left:left + 32].all()
    assert (picture[top + 1:top + 21, left + 1:left + 31] == 255).all()


def test_semantic_panel_has_a_legend(tmp_path):
    classes, palette = ['background', 'dog', 'cat'], [[0, 0, 0], [200, 0, 0], [0, 0, 200]]
    frame = tmp_path / 'frame.png'
    Image.new('RGB', (8, 8)).save(frame)
    truth, found = np.zeros((1, 8, 8), np.uint8), np.full((1, 8, 8), 2, np.uint8)
    write_masks(tmp_path / 'run' / 'v', found, 3, palette)
    sample = AVDataSample(metainfo=dict(img_path=[str(frame)], video_id='v'))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth))
    panel = tool.draw_clip(dict(data_samples=sample), [tmp_path / 'run'], dict(classes=classes, palette=palette),
                           'mask', 16)
    assert [(tuple(colour), name) for colour, name in panel.legend] == [((0, 0, 200), 'cat')]
    assert (panel.rows[2][0] == (0, 0, 200)).all()


def test_figure_places_clips_side_by_side(small_config, folders, tmp_path):
    out = tmp_path / 'figure.png'
    arguments = [small_config, '--results', *folders, '--names', 'all', 'oracle', '--cell-width', '40',
                 '--out', str(out)]
    assert tool.main([*arguments, '--num', '1']) == 0
    one = Image.open(out).size
    assert tool.main([*arguments, '--num', '2', '--style', 'overlay']) == 0
    two = Image.open(out).size
    assert two[1] == one[1] == 10 + 36 + 4 * 40 + 3 * 4 + 10
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
