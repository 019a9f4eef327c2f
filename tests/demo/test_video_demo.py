import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mmavs.registry import MODELS
from tests.apis.media import read_pictures, read_sound, write_film
from tests.apis.stand_in import config

DEMO = Path(__file__).resolve().parents[2] / 'demo' / 'video_demo.py'


@pytest.fixture(scope='module')
def main():
    spec = importlib.util.spec_from_file_location('video_demo', DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A film, a config and its weights."""
    folder = tmp_path_factory.mktemp('demo')
    config().dump(folder / 'config.py')
    torch.save(dict(state_dict=MODELS.build(config().model).state_dict()), folder / 'weights.pth')
    film = write_film(folder / 'clip.mp4', seconds=6)
    return film, ['--model', str(folder / 'config.py'), '--weights', str(folder / 'weights.pth'), '--device', 'cpu']


def test_film_in_film_out(main, files, tmp_path, capsys):
    film, model = files
    out = tmp_path / 'out.mp4'
    assert main([str(film), *model, '--out', str(out), '--overlap', '2', '--profile']) == 0
    printed = capsys.readouterr()
    assert f'{out}: 60 frames, 6 masks, sound copied.' in printed.out
    for stage in ('decode', 'log-mel', 'network', 'draw', 'encode', 'total'):
        assert f'\n{stage} ' in printed.out
    assert 'clip' in printed.err
    assert '60/60' in printed.err
    pictures = read_pictures(out)
    assert len(pictures) == 60
    assert pictures[-1][0] == pytest.approx(5.9, abs=1e-3)
    assert np.corrcoef(read_sound(film)[0], read_sound(out)[0])[0, 1] > 0.99


def test_rate_and_plain_picture(main, files, tmp_path, capsys):
    film, model = files
    out = tmp_path / 'out.webm'
    options = ['--fps', '2', '--clip-seconds', '10', '--between', 'hold', '--no-strip', '--batch-size', '2']
    assert main([str(film), *model, '--out', str(out), *options]) == 0
    assert '60 frames, 12 masks, sound encoded.' in capsys.readouterr().out
    assert read_pictures(out)[0][1].shape == (48, 64, 3)


def test_silent_film(main, files, tmp_path, capsys):
    _, model = files
    film, out = write_film(tmp_path / 'mute.mp4', seconds=1, audio=None), tmp_path / 'out.mp4'
    assert main([str(film), *model, '--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert 'mute.mp4 has no audio stream; pass --audio silence to take it as silent.' in error
    assert 'Traceback' not in error
    assert not out.exists()
    assert main([str(film), *model, '--out', str(out), '--audio', 'silence']) == 0


def test_random_weights_must_be_asked_for(main, files, tmp_path, capsys):
    film, model = files
    out = tmp_path / 'out.mp4'
    command = [str(film), *model[:2], '--device', 'cpu', '--out', str(out)]
    assert main(command) == 1
    assert 'config.py comes without weights; pass --weights CHECKPOINT, or --random-weights' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main([*command, '--random-weights']) == 0
    assert len(read_pictures(out)) == 60


def test_sigterm_leaves_nothing_beside_the_film(tmp_path):
    cfg = config()
    cfg.custom_imports = dict(imports=['tests.apis.stand_in'])
    cfg.dump(tmp_path / 'config.py')
    film = write_film(tmp_path / 'clip.mp4', seconds=300)
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'out.mp4').write_bytes(b'older film')
    command = [sys.executable, str(DEMO), str(film), '--model', str(tmp_path / 'config.py'), '--random-weights',
               '--device', 'cpu', '--out', str(folder / 'out.mp4')]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, 'PYTHONPATH': str(DEMO.parents[1])})
    try:
        end = time.monotonic() + 120
        while not list(folder.glob('.writing-*')):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end, 'the film was not begun'
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert 'Traceback' not in error
    assert [path.name for path in folder.iterdir()] == ['out.mp4']
    assert (folder / 'out.mp4').read_bytes() == b'older film'


@pytest.mark.parametrize(('change', 'message'), [
    (['--model', 'pvt_ms4'], "'pvt_ms4' is neither a config file nor a known model"),
    (['--weights', 'none.pth'], 'none.pth'),
    (['--out', 'out.gif'], 'out.gif must end in one of .mp4'),
    (['--overlap', '5'], 'clip overlap=5'),
    (['--fps', '0'], 'fps=0'),
    (['--batch-size', '0'], 'batch_size=0 must be a whole number of clips, 1 or more.'),
    (['--batch-size', '-3'], 'batch_size=-3 must be'),
    (['--device', 'toaster'], "device='toaster' cannot be used here"),
])
def test_mistakes_are_one_line(main, files, tmp_path, capsys, change, message):
    film, model = files
    assert main([str(film), *model, '--out', str(tmp_path / 'out.mp4'), *change]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('video_demo: ')]
    assert len(error) == 1
    assert message in error[0]
    assert list(tmp_path.iterdir()) == []
