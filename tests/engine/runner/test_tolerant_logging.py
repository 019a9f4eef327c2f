import json
import logging
from pathlib import Path

import pytest
from mmengine.hooks import Hook, LoggerHook

from mmavs.engine.runner import AVSRunner
from mmavs.engine.runner.tolerant_logging import TolerantLoggerHook, tolerate_unwritable_files
from tests.engine.toy import assert_same_weights, toy_config, train

pytestmark = [pytest.mark.usefixtures('toy_runs'),
              pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')]


class FullDisk(Hook):
    """From iteration ``first`` on, the scalars and the log file go to a device that is always full."""

    def __init__(self, first: int) -> None:
        self.first = first

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.first:
            scalars = Path(runner._log_dir) / 'vis_data' / 'scalars.json'
            scalars.rename(scalars.with_name('before.json'))
            scalars.symlink_to('/dev/full')
            for handler in runner.logger.handlers:
                if isinstance(handler, logging.FileHandler):
                    handler.stream.close()
                    handler.stream = open('/dev/full', 'a')  # noqa: SIM115


def test_full_disk_does_not_end_the_training(tmp_path, capfd):
    train(tmp_path / 'reference')
    runner = train(tmp_path / 'full', FullDisk(5), log_level='WARNING',
                   visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    assert runner.iter == 18
    assert_same_weights(tmp_path / 'full', tmp_path / 'reference')
    scalars, = (tmp_path / 'full').glob('*/vis_data/before.json')
    assert len(scalars.read_text().splitlines()) == 5
    printed = capfd.readouterr()
    assert printed.err.count('The log file ') == 1
    assert 'Traceback' not in printed.err
    said = printed.out + printed.err
    assert said.count('The scalars of the log could not be written ([Errno 28] No space left on device)') == 1


def test_full_disk_does_not_end_a_test(tmp_path, capfd):
    cfg = toy_config(tmp_path)
    cfg.update(test_dataloader=cfg.val_dataloader, test_cfg={}, test_evaluator=cfg.val_evaluator)
    runner = AVSRunner.from_cfg(cfg)
    Path(runner.log_dir).mkdir(exist_ok=True)
    (Path(runner.log_dir) / f'{runner.timestamp}.json').symlink_to('/dev/full')
    assert list(runner.test()) == ['toy/error']


@pytest.mark.parametrize('kind', ['LoggerHook', 'mmengine.hooks.LoggerHook', LoggerHook])
def test_every_run_has_the_tolerant_hook_with_its_own_settings(tmp_path, kind):
    hooks = toy_config(tmp_path).default_hooks
    hooks.logger = dict(type=kind, interval=3)
    loggers = [hook for hook in AVSRunner.from_cfg(toy_config(tmp_path, default_hooks=hooks)).hooks
               if isinstance(hook, LoggerHook)]
    assert [type(hook) for hook in loggers] == [TolerantLoggerHook]
    assert loggers[0].interval == 3


def test_scalars_are_written_as_before(tmp_path):
    train(tmp_path, epochs=1, visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    scalars, = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [row['step'] for row in rows] == [1, 2, 3, 4, 5, 6, 1]


def test_other_handlers_keep_their_errors():
    logger = logging.Logger('x')
    logger.addHandler(logging.StreamHandler())
    tolerate_unwritable_files(logger)
    assert 'handleError' not in vars(logger.handlers[0])
