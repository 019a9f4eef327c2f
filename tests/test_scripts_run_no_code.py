"""No script of the repository runs code that hides in a weights file, whichever way it comes to open one."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmavs.utils import safe_load
from mmavs.utils.safe_load import UnsafeCheckpointError
from tests.apis.media import write_film
from tests.tools.micro import generate_data, write_config

ROOT = Path(__file__).resolve().parents[1]
LOADS_OR_BUILDS = re.compile(r'build_model|MODELS\.build|init_weights|load_checkpoint|[Rr]unner|AVSInferencer|'
                             r'torch\.load|load_weights|read_state_dict|profiling')
# Script -> its arguments, and whether they make it open the hostile file.
SCRIPTS = {
    'demo/pretrain_backbone.py': ('{config} {out}/backbone.pth --frames 2 --steps 1 --batch-size 1', True),
    'demo/video_demo.py': ('{film} --model {config} --weights {bomb} --out {out}/film.mp4 --device cpu', True),
    'projects/web_demo/app.py': ('--model {config} {bomb} --device cpu', True),
    'tools/analysis_tools/benchmark.py': ('{config} --shapes 32 --repeats 1 --device cpu --same-process', False),
    'tools/analysis_tools/browse_dataset.py': ('{config} --num 1 --output-dir {out}/browse', False),
    'tools/analysis_tools/eval_audio_robustness.py': ('{config} {bomb} --device cpu', True),
    'tools/analysis_tools/get_flops.py': ('{config} --shape 64 --frames 1', False),
    'tools/analysis_tools/vis_features.py': ('{config} {bomb} --out {out}/features', True),
    'tools/test.py': ('{config} {bomb} --work-dir {out}/test', True),
    'tools/train.py': ('{config} --work-dir {out}/train', True),
}


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path, )


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A hostile file, a config whose backbone names it, data, a film; mmengine loads as when a script starts."""
    bomb = tmp_path / 'bomb.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(1)), meta=Bomb(tmp_path / 'exploded')), bomb)
    init_cfg = f"\nmodel['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint={str(bomb)!r})\n"
    monkeypatch.setenv('MMAVS_DATA_ROOT', str(generate_data(tmp_path / 'data', train=2, val=1, test=1)))
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(safe_load, '_CHOICE', dict(trust=False))
    CheckpointLoader.register_scheme('', lambda path, map_location=None: torch.load(path, weights_only=False),
                                     force=True)
    # The web demo looks for it before it loads a model.
    monkeypatch.setitem(sys.modules, 'gradio', ModuleType('gradio'))
    return SimpleNamespace(bomb=bomb, config=write_config(tmp_path, init_cfg), out=tmp_path / 'out',
                           film=write_film(tmp_path / 'film.mp4', seconds=1), exploded=tmp_path / 'exploded')


def load_script(name: str, monkeypatch) -> ModuleType:
    """Import a script as a process of its own would: with its folder on the path."""
    path = ROOT / name
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f'script_{path.stem}', path)
    script = importlib.util.module_from_spec(spec)
    # Worker processes look functions up by it.
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    return script


def test_every_script_that_loads_or_builds_a_model_is_tried():
    scripts = [path for folder in ('tools', 'demo', 'projects') for path in sorted((ROOT / folder).rglob('*.py'))]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in scripts}
    found = {name for name, text in texts.items() if '__main__' in text and LOADS_OR_BUILDS.search(text)}
    assert found == set(SCRIPTS)


@pytest.mark.parametrize('name', SCRIPTS)
def test_hostile_file_runs_nothing(name, places, monkeypatch, capsys):
    arguments, opens = SCRIPTS[name]
    message = ''
    try:
        code = load_script(name, monkeypatch).main(arguments.format(**vars(places)).split())
    except (UnsafeCheckpointError, SystemExit) as error:
        code, message = 2, str(error)
    message += capsys.readouterr().err
    assert not places.exploded.exists()
    assert (code != 0) == opens, message
    if opens:
        assert f'{places.bomb} was not opened, because it holds an object of type posix.mkdir' in message
        assert '--trust-checkpoint' in message


def test_the_hostile_file_is_one(places):
    CheckpointLoader.load_checkpoint(str(places.bomb), logger='silent')
    assert places.exploded.is_dir()
