"""``tools/test.py --report`` from a config to a page, with one process and with two."""

import json
import re
from pathlib import Path

import pytest
import soundfile
import torch
from mmengine.config import Config

from mmavs.registry import MODELS
from mmavs.visualization.html_report import media_name

from .micro import generate_data, run_tool, write_config


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Config, data and the weights of an untrained model."""
    folder = tmp_path_factory.mktemp('untrained')
    generate_data(folder / 'data', train=1, val=1, test=3)
    cfg = Config.fromfile(write_config(folder))
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), folder / 'weights.pth')
    return folder


@pytest.mark.parametrize('processes', [1, 2])
def test_page_agrees_with_the_written_scores(folder, tmp_path, processes):
    done = run_tool('test.py', folder / 'micro.py', folder / 'weights.pth', '--work-dir', tmp_path / 'work',
                    '--out', tmp_path / 'out.json', '--report', tmp_path / 'report', data_root=folder / 'data',
                    processes=processes)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    scores = json.loads((tmp_path / 'out.json').read_text())
    page = (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [(clip['id'], clip['J'], clip['F']) for clip in data['clips']] == [
        (clip['video_id'], round(clip['J'], 2), round(clip['F'], 2)) for clip in scores['clips']]
    assert len(data['clips']) == 3
    assert f'<td class="number value">{scores["metrics"]["avs/J"]:.2f}</td>' in page
    assert '<h1>micro</h1>' in page
    assert '<dd>weights.pth</dd>' in page
    assert str(folder) not in page
    for clip in data['clips']:
        media = tmp_path / 'report' / 'media' / media_name(clip['id'])
        assert sorted(path.name for path in media.iterdir()) == [
            'frames.jpg', 'log_mel.jpg', 'sound.wav', 'thumbnails.jpg']
        assert clip['media']['count'] == 5
        assert (clip['media']['width'], clip['media']['height']) == (64, 64)
        assert soundfile.info(media / 'sound.wav').frames == 5 * 16000


def test_one_hears_what_the_network_hears(folder, tmp_path):
    # The sound is made by the pipeline, in a process of the loader.
    config = write_config(tmp_path, """
test_pipeline.insert(3, dict(type='mmavs.ReplaceSound', kind='silence'))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
""")
    done = run_tool('test.py', config, folder / 'weights.pth', '--work-dir', tmp_path / 'work', '--report',
                    tmp_path / 'report', data_root=folder / 'data')
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    sounds = [soundfile.read(path)[0] for path in (tmp_path / 'report').rglob('sound.wav')]
    assert [sound.shape for sound in sounds] == [(5 * 16000, )] * 3
    assert not any(sound.any() for sound in sounds)
