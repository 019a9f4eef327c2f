"""The main tools end in one sentence, and nothing else, when the user or the data is to blame."""

import re
from pathlib import Path

import pytest

from mmavs.datasets import AVSBenchDataset
from tests.datasets.damage import cut

from .micro import generate_data, run_tool, write_config


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return generate_data(tmp_path_factory.mktemp('data'), train=3, val=1, test=1)


def test_a_damaged_clip_in_a_worker_ends_training_in_its_sentence(data, tmp_path):
    root = generate_data(tmp_path / 'data', train=3, val=1, test=1)
    info = AVSBenchDataset(subset='ms3', split='train', data_root=str(root)).get_data_info(1)
    cut(0.5)(Path(info['img_path'][2]))
    done = run_tool('train.py', write_config(tmp_path), '--work-dir', tmp_path / 'work', '--cfg-options',
                    'train_dataloader.num_workers=2', data_root=root)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"error: Clip '{info['video_id']}' \(ms3, train\) cannot be loaded: {info['img_path'][2]} is .*\. "
        r"Restore the file, or set on_error='skip' in the dataset to leave such clips out\.", last)


@pytest.mark.parametrize(('arguments', 'sentence'), [
    (['--cfg-options', 'model.neck.num_order=4'],
     r"error: model\.neck: mmavs\.MTENeck has no argument 'num_order' \(did you mean num_orders\?\); its arguments are "
     r'in_channels, out_channels, [a-z_, ]*\.'),
    (['--cfg-options', 'train_dataloader.dataset.data_root=nowhere'],
     r"error: data_root 'nowhere' does not exist; set data_root \(or the variable MMAVS_DATA_ROOT\) to the folder that "
     r'holds Multi-sources, or generate a small data set with tools/dataset_tools/make_sounding_shapes\.py nowhere '
     r'--subset ms3\.'),
    # Sentences of the mm packages.
    (['--cfg-options', 'model.backbone.type=mmseg.ResNot'], r'error: mmseg\.ResNot is not in the .*registry.*'),
    (['--cfg-options', 'model.backbone.depth=19'], 'error: invalid depth 19 for resnet'),
    (['--cfg-options', 'model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint=gone.pth'],
     r'error: The pretrained weights of mmseg\.ResNet are not at gone\.pth\. Get them as the README says .* To start '
     r'from random weights, set model\.backbone\.init_cfg=None in the config\.'),
    (['--cfg-options', 'batch_size=7'],
     r'error: --cfg-options batch_size: batch_size is a variable that the config.*\.'),
    (['--work-dir', '/proc/nothing/here'], r'error: /proc/nothing: No such file or directory\.')])
def test_training_ends_in_one_sentence(data, tmp_path, arguments, sentence):
    done = run_tool('train.py', write_config(tmp_path), '--work-dir', tmp_path / 'work', *arguments, data_root=data)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    assert re.fullmatch(sentence, done.stderr.strip().splitlines()[-1])


def test_testing_ends_in_one_sentence(data, tmp_path):
    (tmp_path / 'weights.pth').write_bytes(b'no checkpoint')
    done = run_tool('test.py', write_config(tmp_path), tmp_path / 'weights.pth', '--work-dir', tmp_path / 'work',
                    data_root=data)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    assert re.fullmatch(rf'error: {tmp_path}/weights\.pth \(13 bytes\) is truncated or no checkpoint \(.*\): copy or '
                        r'download it again\.', done.stderr.strip().splitlines()[-1])


def test_the_traceback_can_be_had(data, tmp_path):
    done = run_tool('train.py', tmp_path / 'gone.py', data_root=data, MMAVS_TRACEBACK='1')
    assert done.returncode == 2
    assert 'Traceback' in done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        f'error: No config file {tmp_path}/gone.py. The configs of this package are in configs/avs_mamba/.')
