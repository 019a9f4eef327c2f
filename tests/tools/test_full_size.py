"""The six published configs as they stand, full model and full resolution, through the real tools.

Takes a quarter of an hour or more on two cores and 24 GiB, so it runs on request only:

    MMAVS_FULL_SIZE=1 python -m pytest tests/tools/test_full_size.py -s

Prints the seconds of a training step and the peak memory of the process for each config.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmavs.datasets.sounding_shapes import generate
from mmavs.registry import MODELS

from .micro import ROOT

pytestmark = pytest.mark.skipif(os.environ.get('MMAVS_FULL_SIZE') != '1',
                                reason='takes a quarter of an hour or more, and 24 GiB; set MMAVS_FULL_SIZE=1')
BATCH = dict(s4=2, ms3=2, avss=6)


@pytest.fixture(scope='module')
def environment(tmp_path_factory) -> dict[str, str]:
    """Generated data in the published layouts, one batch of each, and random weights under the official names."""
    data, weights = tmp_path_factory.mktemp('data'), tmp_path_factory.mktemp('weights')
    for subset, batch in BATCH.items():
        generate(data, subset, clips=dict(train=batch, val=1, test=1), workers=0, progress=False)
    for name, kind in (('pvt_v2_b5.pth', dict(type='mmavs.PVTv2', arch='b5')),
                       ('vggish-10086976.pth', dict(type='mmavs.VGGish')),
                       ('resnet50.pth', dict(type='mmseg.ResNet', depth=50))):
        torch.save(MODELS.build(kind).state_dict(), weights / name)
    return {**os.environ, 'MMAVS_DATA_ROOT': str(data), 'MMAVS_WEIGHTS_ROOT': str(weights)}


def run(environment: dict[str, str], log: Path, tool: str, *arguments: object) -> float:
    """Run a tool; returns the GiB of its peak memory."""
    with log.open('w') as file:
        process = subprocess.Popen([sys.executable, str(ROOT / 'tools' / tool), *map(str, arguments)], cwd=ROOT,
                                   env=environment, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log.read_text()[-3000:]
    return usage.ru_maxrss / 2**20


@pytest.mark.parametrize('name', [f'{backbone}_{subset}' for subset in BATCH for backbone in ('pvt', 'r50')])
def test_a_training_step_and_a_test_clip(environment, tmp_path, name):
    config, work, out = ROOT / 'configs' / 'avs_mamba' / f'{name}.py', tmp_path / 'work', tmp_path / 'results.json'
    loaders = [f'{split}_dataloader.{setting}' for split in ('train', 'val', 'test')
               for setting in ('num_workers=0', 'persistent_workers=False')]
    peak = run(environment, tmp_path / 'train.log', 'train.py', config, '--work-dir', work, '--cfg-options',
               'train_cfg.max_epochs=1', 'default_hooks.logger.interval=1', *loaders)
    records = [json.loads(line) for path in work.rglob('scalars.json') for line in path.read_text().splitlines()]
    (step, ) = [record for record in records if 'loss' in record]
    assert 0 < step['loss'] < 20
    clip_peak = run(environment, tmp_path / 'test.log', 'test.py', config, work / 'epoch_1.pth', '--work-dir',
                    tmp_path / 'test', '--out', out, '--cfg-options', *loaders)
    clips = json.loads(out.read_text())['clips']
    assert len(clips) == 1
    print(f'\n{name}: {step["time"]:.1f} s per training step, peak memory {peak:.1f} GiB; test {clip_peak:.1f} GiB')
    assert peak < 24
