import json
import sys
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from mmavs.registry import VISUALIZERS
from mmavs.visualization import AVSLocalVisualizer, contact_sheet

RUNTIME = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'default_runtime.py'


def sample(num_frames=3, **meta):
    element = BaseDataElement(metainfo=dict(video_id='clip_7', subset='ms3', split='test', category=None) | meta)
    mask = torch.zeros(num_frames, 16, 16, dtype=torch.uint8)
    mask[:, :8] = 1
    element.gt_sem_seg = PixelData(data=mask)
    element.pred_sem_seg = PixelData(data=mask.flip(1))
    return element


@pytest.fixture
def frames():
    return list(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8))


def build(**changes):
    # mmengine hands out one instance per name.
    return VISUALIZERS.build(dict(type='mmavs.AVSLocalVisualizer', name=f'test_{uuid4()}') | changes)


def test_sheet_is_that_of_the_sample(frames):
    drawn = build().draw_datasample(frames, sample(), np.zeros((3, 1, 96, 64)), scores=[1, 2, 3])
    mask = sample().gt_sem_seg.data.numpy()
    expected = contact_sheet(frames, mask, mask[:, ::-1], np.zeros((3, 1, 96, 64)), title='clip_7',
                             subtitle='ms3 · test', scores=[1, 2, 3])
    assert (drawn == expected).all()


def test_missing_masks_and_switches(frames):
    visualizer = build()
    bare = BaseDataElement(metainfo=dict(video_id='clip_7', subset='ms3', split='test'))
    frames_only = visualizer.draw_datasample(frames, bare)
    assert (frames_only == visualizer.draw_datasample(frames, sample(), draw_gt=False, draw_pred=False)).all()
    assert visualizer.draw_datasample(frames, sample(), draw_pred=False).shape[0] > frames_only.shape[0]


def test_classes_and_palette_come_from_dataset_meta(frames):
    visualizer = build()
    visualizer.dataset_meta = dict(classes=['background', 'dog', 'cat'], palette=[[0, 0, 0], [1, 2, 3], [250, 9, 9]])
    element = sample()
    element.gt_sem_seg.data[:] = 2
    sheet = visualizer.draw_datasample(frames, element, draw_pred=False)
    assert (sheet == [250, 9, 9]).all(-1).sum() > 100     # the legend's swatch
    assert not (sheet == [1, 2, 3]).all(-1).any()


def test_error_row_can_be_left_out(frames):
    tall = build().draw_datasample(frames, sample())
    assert tall.shape[0] - build(with_errors=False).draw_datasample(frames, sample()).shape[0] == 206


def test_add_datasample_writes_the_file_or_the_backends(frames, tmp_path):
    visualizer = build(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path / 'backend'))
    visualizer.add_datasample('a', frames, sample(), out_file=str(tmp_path / 'a.png'))
    written = np.asarray(Image.open(tmp_path / 'a.png'))
    assert (written == visualizer.draw_datasample(frames, sample())).all()
    visualizer.add_datasample('c', frames, out_file=str(tmp_path / 'c.png'))
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'c.png')),
                          visualizer.draw_datasample(frames, BaseDataElement()))
    visualizer.add_datasample('b', frames, sample(), step=4)
    assert len(list((tmp_path / 'backend').rglob('b_4.png'))) == 1


def test_defaults_are_binary():
    visualizer = AVSLocalVisualizer()
    assert visualizer.dataset_meta['classes'] == ['background', 'sounding']


@pytest.mark.parametrize('installed', [True, False])
def test_configs_write_tensorboard_curves_where_it_is_installed(installed, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, step):
            written.append((self.folder, name, value, step))

    # Neither case depends on what is installed here: a package by this name, or its absence, is put in.
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    if installed:
        monkeypatch.delitem(sys.modules, 'tensorboard')
        (tmp_path / 'tensorboard').mkdir()
        (tmp_path / 'tensorboard' / '__init__.py').touch()
        monkeypatch.syspath_prepend(str(tmp_path))
    writers = ModuleType('torch.utils.tensorboard')
    writers.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', writers)
    cfg = Config.fromfile(RUNTIME)
    assert [backend.type for backend in cfg.vis_backends] == [
        'LocalVisBackend', *['TensorboardVisBackend'] * installed]
    init_default_scope(cfg.default_scope)
    build(**{**cfg.visualizer, 'name': f'test_{uuid4()}', 'save_dir': str(tmp_path / 'run')}).add_scalars(
        {'loss': 0.5}, step=7)
    folder = tmp_path / 'run' / 'vis_data'
    assert written == [(str(folder), 'loss', 0.5, 7)] * installed
    assert json.loads((folder / 'scalars.json').read_text()) == {'loss': 0.5, 'step': 7}


def test_one_picture_is_a_clip_of_one(frames):
    visualizer = build()
    expected = visualizer.draw_datasample(frames[:1], sample(1))
    assert np.array_equal(visualizer.draw_datasample(frames[0], sample(1)), expected)
