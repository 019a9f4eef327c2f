"""Starts, signals and kills toy runs; run as a script, because forking is safe only where torch has not computed yet.

Usage: python -m tests.engine.driver kill WORK_DIR KILLS SEED | preempt WORK_DIR | gloo WORK_DIR
"""

import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mmengine.runner.runner
import torch._dynamo  # noqa: F401 (imported by the first optimizer, once per fork otherwise)
import yapf.yapflib.yapf_api
from mmengine.hooks import Hook

from mmavs.engine.launch import prepare_distributed
from mmavs.engine.runner import AVSRunner
from tests.engine.toy import SignalAt, toy_config

MOMENT = b'.'


class Moments(Hook):
    """Reports through a pipe that an iteration begins or a file is being written."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        for name in ('fsync', 'replace'):
            setattr(os, name, self.reported(getattr(os, name)))

    def reported(self, function: Callable) -> Callable:
        def call(*args):
            os.write(self.pipe, MOMENT)
            result = function(*args)
            os.write(self.pipe, MOMENT)
            return result
        return call

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        os.write(self.pipe, MOMENT)


def fork_run(work_dir: Path, hook: Callable[[], Hook] | None = None, before: Callable | None = None, **config) -> int:
    """Train in a forked process, with a hook that is made there; returns its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        if before is not None:
            before()
        cfg = toy_config(work_dir, resume=True, **config)
        prepare_distributed(cfg)
        runner = AVSRunner.from_cfg(cfg)
        if hook is not None:
            runner.register_hook(hook())
        runner.train()
        code = 0
    except SystemExit as error:
        code = error.code
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # A forked process must not return into this script.
        os._exit(code)


def exit_code(child: int) -> int:
    """Wait for a process; negative for the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(work_dir: Path, kills: int, seed: int) -> None:
    """Kill a run ``kills`` times, starting a new training whenever one is finished; folders 0, 1, ... hold them."""
    draw = random.Random(seed)
    assert exit_code(fork_run(work_dir / 'reference')) == 0
    done, training = 0, 0
    while True:
        by_epoch = training % 2 == 0
        reader, writer = os.pipe()
        child = fork_run(work_dir / str(training), lambda pipe=writer: Moments(pipe),
                         checkpoint={} if by_epoch else dict(by_epoch=False, interval=2))
        os.close(writer)
        moments = draw.randint(1, 40) if done < kills else 10**9
        while moments and os.read(reader, 1):
            moments -= 1
        time.sleep(draw.uniform(0, 0.002))
        if moments == 0:
            os.kill(child, signal.SIGKILL)
        code = exit_code(child)
        os.close(reader)
        done += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL), code
        if code == 0:
            training += 1
            if done >= kills:
                break
    print(f'kills={done} trainings={training}')


def preempt(work_dir: Path) -> None:
    """Stop runs by SIGTERM to their whole process group, in an iteration and in a validation, then resume them."""
    assert exit_code(fork_run(work_dir / 'reference')) == 0
    for name, workers, iteration, stage in (('plain', 0, 2, 'train'), ('workers', 2, 2, 'train'),
                                            ('validation', 2, 6, 'val')):
        folder, stop = work_dir / name, partial(SignalAt, iteration, stage, partial(os.killpg, 0, signal.SIGTERM))
        code = exit_code(fork_run(folder, stop, before=os.setpgrp, workers=workers))
        files = sorted(path.name for path in folder.glob('epoch*.pth'))
        print(name, code, *files, exit_code(fork_run(folder, workers=workers)))


def gloo(work_dir: Path) -> None:
    """Runs of two processes: uninterrupted, stopped by SIGTERM to the second only, with a poisoned and a steep
    clip, and with a clip of the validation that is broken and then repaired.
    """
    for name in ('plain', 'preempt', 'preempt', 'nan', 'val', 'val'):
        folder = work_dir / name
        stop = partial(SignalAt, 1) if name == 'preempt' and not folder.exists() else None
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        children = [_fork_rank(folder, rank, port, stop if rank == 1 else None) for rank in range(2)]
        codes = [exit_code(child) for child in children]
        print(name, *codes, *sorted(path.name for path in folder.glob('epoch*.pth')))


def _fork_rank(folder: Path, rank: int, port: int, hook: Callable[[], Hook] | None) -> int:
    def before() -> None:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1',
                          MASTER_PORT=str(port))
    config = {}
    if folder.name == 'nan':
        config = dict(dataset=dict(poisoned=(5, ), steep=(7, )), default_hooks=toy_config(folder).default_hooks)
        config['default_hooks'].invalid_loss.action = 'skip'
    if folder.name == 'val':
        config = dict(checkpoint=dict(interval=5), val_dataloader=toy_config(folder).val_dataloader)
        config['val_dataloader'].dataset.broken = () if list(folder.glob('*.pth')) else (3, )
    return fork_run(folder, hook, before, launcher='pytorch', **config)


if __name__ == '__main__':
    # Many short runs: leave out what takes longest in them and decides nothing.
    mmengine.runner.runner.collect_env = dict
    yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)
    AVSRunner.from_cfg(toy_config(Path(sys.argv[2]) / 'warm_up')).build_train_loop(dict(by_epoch=True, max_epochs=1))
    {'kill': kill, 'preempt': preempt, 'gloo': gloo}[sys.argv[1]](
        Path(sys.argv[2]), *map(int, sys.argv[3:]))
