import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mmavs.apis import NoSoundError

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'projects' / 'web_demo'


@pytest.fixture
def app(monkeypatch):
    # As for a script, whose own folder Python puts first.
    monkeypatch.syspath_prepend(str(DEMO))
    spec = importlib.util.spec_from_file_location('web_demo_app', DEMO / 'app.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_visitors_see_nothing_of_the_servers_inside(app, caplog):
    assert app.explain(NoSoundError('The film has no sound.')) == 'The film has no sound.'
    for error in (ValueError('cannot reshape array of /srv/secret'), OSError(28, 'No space left', '/srv/secret')):
        told = app.explain(error)
        assert told == 'Something went wrong on the server; the film was not predicted.'
        assert str(error) in caplog.text


def test_the_folder_is_removed_even_while_it_is_written_to(app, monkeypatch):
    remove, calls = app.shutil.rmtree, []

    def remove_with_a_writer_beside(folder, ignore_errors):
        remove(folder, ignore_errors=ignore_errors)
        calls.append(folder)
        if len(calls) < 3:
            (folder / 'masks').mkdir(parents=True)

    monkeypatch.setattr(app.shutil, 'rmtree', remove_with_a_writer_beside)
    with app.private_folder() as folder:
        (folder / 'upload.mp4').write_bytes(b'film')
    assert not folder.exists()
    assert len(calls) == 3


def test_the_server_listens_on_this_machine_only(app):
    args = app.parse_args(['--model', 'pvt_ms3', 'x.pth'])
    assert (args.host, args.max_mb, args.max_seconds, args.queue) == ('127.0.0.1', 50, 60, 8)


def test_without_gradio_the_command_is_named(tmp_path):
    blocker = tmp_path / 'gradio.py'
    blocker.write_text('raise ImportError("no gradio")')
    done = subprocess.run([sys.executable, str(DEMO / 'app.py'), '--model', 'pvt_ms3', 'x.pth'], capture_output=True,
                          text=True, check=False, env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'})
    assert done.returncode == 1
    assert 'pip install -r projects/web_demo/requirements.txt' in done.stderr
    assert tempfile.gettempdir() not in done.stderr
