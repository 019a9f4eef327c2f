"""The shell scripts start several processes with the interpreter named, without an activated environment."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.tools.micro import ROOT, generate_data, random_checkpoint, write_config


def free_port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def run_script(name, *arguments, **environment):
    # A path without the environment's bin folder: neither torchrun nor its python is found there.
    env = {**os.environ, 'PATH': os.defpath, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1',
           'PYTHONWARNINGS': 'ignore', 'PORT': str(free_port()), **environment}
    return subprocess.run([str(ROOT / 'tools' / name), *map(str, arguments)], capture_output=True, text=True, env=env,
                          cwd=ROOT, timeout=600, check=False)


def test_two_processes_train_a_step(tmp_path):
    data = generate_data(tmp_path / 'data', train=2, val=2, test=1)
    config = write_config(tmp_path, "train_cfg = dict(max_epochs=1, val_interval=1)\n"
                                    "train_dataloader['batch_size'] = 1\n")
    done = run_script('dist_train.sh', config, 2, '--work-dir', tmp_path / 'run', MMAVS_DATA_ROOT=str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    # Two clips, one for each of two processes: the epoch is one step long.
    assert 'Epoch(train) [1][1/1]' in done.stdout
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def test_two_processes_test_every_clip_once(tmp_path):
    data = generate_data(tmp_path / 'data', train=1, val=1, test=3)
    config = write_config(tmp_path)
    weights = random_checkpoint(config, tmp_path / 'weights.pth')
    done = run_script('dist_test.sh', config, weights, 2, '--work-dir', tmp_path / 'run', '--out',
                      tmp_path / 'scores.json', MMAVS_DATA_ROOT=str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads((tmp_path / 'scores.json').read_text())['clips']) == 3


@pytest.mark.parametrize(('name', 'arguments'), [
    ('dist_train.sh', ['config.py']), ('dist_test.sh', ['config.py', 'weights.pth'])])
def test_a_missing_argument_ends_in_the_usage(name, arguments):
    done = run_script(name, *arguments)
    assert done.returncode == 1
    assert f'usage: tools/{name} CONFIG' in done.stderr


def test_options_and_failure_pass_through():
    done = run_script('dist_train.sh', 'no_such_config.py', 1)
    assert done.returncode != 0
    assert 'error: No config file no_such_config.py' in done.stderr
