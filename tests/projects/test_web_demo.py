import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
import zipfile
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmavs.apis import AVSInferencer, MediaError, NoSoundError
from mmavs.registry import MODELS
from tests.apis.media import read_pictures, write_film
from tests.apis.stand_in import BLUE_CLASS, config
from tests.visualization.html_report.webdriver import Browser, missing_browser

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'projects' / 'web_demo'


@pytest.fixture(scope='module')
def service_module():
    spec = importlib.util.spec_from_file_location('web_demo_service', DEMO / 'service.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def service(service_module, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        models = {'binary': AVSInferencer(config(), device='cpu'), 'classes': AVSInferencer(config(71), device='cpu')}
    (tmp_path / 'results').mkdir()
    return service_module.Service(models, tmp_path / 'results', service_module.Limits(megabytes=1, seconds=5))


def masks_of(result):
    with zipfile.ZipFile(result.archive) as archive:
        return {name: np.array(Image.open(BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_result_of_an_upload(service, tmp_path):
    upload = write_film(tmp_path / 'clip.mp4', seconds=3)
    result = service.predict(upload, 'binary')
    assert len(read_pictures(result.film)) == 30
    masks = masks_of(result)
    assert list(masks) == ['0.png', '1.png', '2.png']
    assert all(mask.shape == (48, 64) and set(np.unique(mask)) == {0, 255} for mask in masks.values())
    assert [caption for _, caption in result.pictures] == ['0.94 s', '1.94 s', '2.94 s']
    assert all(picture.shape == (48, 64, 3) for picture, _ in result.pictures)
    share = 100 * np.mean([(mask > 0).mean() for mask in masks.values()])
    assert result.summary == f'30 frames, 3 masks; {share:.1f}% of the picture sounds on average.'


def test_a_film_of_few_pictures_has_a_mask_for_every_second(service, tmp_path):
    # One picture in two seconds: both instants of the last one lie after its own time.
    result = service.predict(write_film(tmp_path / 'slow.mp4', fps=Fraction(1, 2), seconds=4), 'binary')
    assert [caption for _, caption in result.pictures] == ['0.94 s', '1.94 s', '2.94 s', '3.94 s']
    assert list(masks_of(result)) == ['0.png', '1.png', '2.png', '3.png']


def test_the_upload_is_deleted_and_asked_for_again(service, tmp_path):
    upload = write_film(tmp_path / 'clip.mp4', seconds=1)
    service.predict(upload, 'binary')
    assert not upload.exists()
    with pytest.raises(MediaError, match='upload it again'):
        service.predict(upload, 'binary')


def test_classes(service, tmp_path):
    result = service.predict(write_film(tmp_path / 'clip.mp4', seconds=2), 'classes', clip_seconds=10)
    assert set(np.unique(masks_of(result)['1.png'])) == {0, BLUE_CLASS}


def test_large_pictures_are_shown_small(service, tmp_path):
    result = service.predict(write_film(tmp_path / 'clip.mp4', seconds=1, size=(960, 320)), 'binary')
    assert result.pictures[0][0].shape == (160, 480, 3)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(seconds=6), r'^The film is longer than 5 s'),
    (dict(seconds=1, codec=None), r'^The film has no video stream')])
def test_errors_name_no_path_and_leave_nothing(service, tmp_path, options, message):
    upload = write_film(tmp_path / 'clip.mp4', **options)
    with pytest.raises(MediaError, match=message):
        service.predict(upload, 'binary')
    assert not upload.exists()
    assert list(service.folder.iterdir()) == []


def test_other_uploads_that_are_refused(service, tmp_path):
    with pytest.raises(MediaError, match='Choose or record a film first'):
        service.predict(None, 'binary')
    upload = tmp_path / 'big.mp4'
    upload.write_bytes(bytes(1_000_001))
    with pytest.raises(MediaError, match=r'The film is larger than 1 MB\.'):
        service.predict(upload, 'binary')
    upload.write_text('import os; os.remove("x")')
    with pytest.raises(MediaError, match='The film cannot be opened'):
        service.predict(upload, 'binary')
    assert not upload.exists()
    with pytest.raises(MediaError, match=r'There is no such model\.'):
        service.predict(write_film(upload, seconds=1), 'other')


def test_a_film_without_sound_can_be_tried_again_as_silent(service, tmp_path):
    upload = write_film(tmp_path / 'mute.mp4', seconds=1, audio=None)
    with pytest.raises(NoSoundError, match=r'^The film has no audio stream; tick "No sound" and start again\.$'):
        service.predict(upload, 'binary')
    assert list(service.folder.iterdir()) == []
    assert len(masks_of(service.predict(upload, 'binary', silent=True))) == 1
    assert not upload.exists()


def test_results_are_forgotten(service, service_module, tmp_path, monkeypatch):
    timers = []

    class Timer:
        daemon = False

        def __init__(self, seconds, function, arguments):
            self.seconds, self.run = seconds, lambda: function(*arguments)

        def start(self):
            timers.append(self)

    monkeypatch.setattr(service_module.threading, 'Timer', Timer)
    service.keep_seconds = 77
    result = service.predict(write_film(tmp_path / 'clip.mp4', seconds=1), 'binary')
    assert result.film.exists()
    timer, = timers
    assert (timer.seconds, timer.daemon) == (77, True)
    timer.run()
    assert list(service.folder.iterdir()) == []


needs_gradio = pytest.mark.skipif(importlib.util.find_spec('gradio') is None, reason='gradio is not installed')


@pytest.fixture
def start(tmp_path):
    """Starts the web demo as a process of its own, with its temporary files in a folder that is watched."""
    processes = []

    def start_server(*arguments):
        folder = tmp_path / 'server'
        folder.mkdir()
        cfg = config()
        cfg.custom_imports = dict(imports=['tests.apis.stand_in'])
        cfg.dump(tmp_path / 'blue.py')
        torch.save(dict(state_dict=MODELS.build(config().model).state_dict()), tmp_path / 'blue.pth')
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        command = [sys.executable, str(DEMO / 'app.py'), '--model', str(tmp_path / 'blue.py'),
                   str(tmp_path / 'blue.pth'), '--device', 'cpu', '--port', str(port), *arguments]
        path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
        environment = {**os.environ, 'PYTHONPATH': path, 'TMPDIR': str(folder)}
        with open(tmp_path / 'log.txt', 'w') as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        end = time.monotonic() + 120
        while 'The web demo is at' not in (tmp_path / 'log.txt').read_text():
            assert processes[-1].poll() is None, (tmp_path / 'log.txt').read_text()
            assert time.monotonic() < end, 'the server did not start'
            time.sleep(0.2)
        return f'http://127.0.0.1:{port}', folder, processes[-1]

    yield start_server
    for process in processes:
        process.terminate()
        process.wait(30)


@needs_gradio
@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_server_is_stopped(start, number):
    address, folder, process = start()
    left, = folder.glob('mmavs-web-*')
    # As an upload lies there while it waits.
    (left / 'gradio').mkdir(exist_ok=True)
    (left / 'gradio' / 'clip.mp4').write_bytes(bytes(1000))
    assert urllib.request.urlopen(address, timeout=30).status == 200
    process.send_signal(number)
    assert process.wait(30) == 0
    assert list(folder.iterdir()) == []


@needs_gradio
@pytest.mark.slow
@pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
def test_upload_in_a_browser(start, tmp_path):
    address, folder, _ = start('--max-seconds', '5')
    film = write_film(tmp_path / 'clip.mp4', seconds=3, codec='libx264', pix_fmt='yuv420p')
    with Browser() as browser:
        browser.run('window.location = arguments[0]', address)
        browser.wait('return document.querySelector("#upload input[type=file]") !== null')
        browser.type('#upload input[type=file]', str(film))
        browser.wait('return document.querySelector("#upload video") !== null')
        browser.click('#start')
        browser.wait('const v = document.querySelector("#film video"); return v !== null && v.readyState >= 2')
        assert '30 frames, 3 masks' in browser.texts('#summary')[0]
        size = browser.run('const v = document.querySelector("#film video"); return [v.videoWidth, v.videoHeight]')
        assert size == [64, 48 + 24]
        assert browser.run('return document.querySelector("#film video").duration') == pytest.approx(3, abs=0.2)
        browser.wait('return document.querySelectorAll("#pictures img").length >= 3')
        # Whole pictures in the film's shape, with nothing on them.
        shape = browser.run('''
            const picture = document.querySelector("#pictures img");
            picture.scrollIntoView({block: "center", behavior: "instant"});
            const r = picture.getBoundingClientRect();
            return [r.width / r.height, document.elementFromPoint(r.left + 8, r.top + 8).tagName]''')
        assert shape == [pytest.approx(64 / 48, rel=0.02), 'IMG']
        link = browser.run('return document.querySelector("#masks a[href]").href')
        with zipfile.ZipFile(BytesIO(urllib.request.urlopen(link).read())) as archive:
            assert archive.namelist() == ['0.png', '1.png', '2.png']
        browser.screenshot(tmp_path / 'page.png')
        hosts = browser.run('return performance.getEntriesByType("resource").map(e => new URL(e.name).host)')
    assert {host for host in hosts if host} == {address.removeprefix('http://')}
    # The upload was deleted; the results are there until they are forgotten.
    assert not list(folder.rglob('clip.mp4'))
    assert list(folder.rglob('overlay.mp4'))


@needs_gradio
@pytest.mark.slow
@pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
def test_a_mute_film_in_a_browser(start, tmp_path):
    address, folder, _ = start()
    film = write_film(tmp_path / 'mute.mp4', seconds=2, audio=None, codec='libx264', pix_fmt='yuv420p')
    with Browser() as browser:
        browser.run('window.location = arguments[0]', address)
        browser.wait('return document.querySelector("#upload input[type=file]") !== null')
        browser.type('#upload input[type=file]', str(film))
        browser.wait('return document.querySelector("#upload video") !== null')
        browser.click('#start')
        browser.wait('return document.querySelector("#summary").textContent.includes("tick")')
        assert browser.texts('#summary')[0].strip() == 'The film has no audio stream; tick "No sound" and start again.'
        # The boxes are empty, not covered by "Error", and the film is still there.
        assert browser.run('return document.querySelectorAll(".error").length') == 0
        assert browser.run('return document.querySelector("#upload video") !== null')
        browser.screenshot(tmp_path / 'mute.png')
        browser.click('#silent input')
        browser.click('#start')
        browser.wait('return document.querySelector("#summary").textContent.includes("2 masks")')
        browser.wait('return document.querySelector("#upload video") === null')
    assert not list(folder.rglob('mute.mp4'))
