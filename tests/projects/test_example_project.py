"""The example project trains: its module comes in through the config alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmavs.datasets.sounding_shapes import generate
from mmavs.registry import DATASETS, MODELS
from mmavs.utils.building import build_model

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'projects' / 'example_project' / 'configs' / 'audio_gated_shapes.py'
CHANNELS = 8


@pytest.fixture
def decoder():
    from projects.example_project.audio_gated_pixel_decoder import AudioGatedPixelDecoder
    torch.manual_seed(0)
    return AudioGatedPixelDecoder(CHANNELS)


def maps(num_frames=3):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(num_frames, CHANNELS, 32 // stride, 32 // stride, generator=generator)
            for stride in (1, 2, 4, 8)]


def test_it_starts_as_the_plain_pyramid(decoder):
    audio = torch.randn(3, 1, CHANNELS)
    torch.testing.assert_close(decoder(maps(), audio), decoder.pyramid(maps(), audio))


def test_gates_by_hand(decoder):
    # Biases of +-ln 3 give gates 2 sigmoid(+-ln 3) = 1.5 and 0.5.
    with torch.no_grad():
        decoder.gates[0].bias.fill_(torch.log(torch.tensor(3.0)))
        decoder.gates[3].bias.fill_(-torch.log(torch.tensor(3.0)))
    feats = maps()
    expected = decoder.pyramid([1.5 * feats[0], feats[1], feats[2], 0.5 * feats[3]], torch.zeros(3, 1, CHANNELS))
    torch.testing.assert_close(decoder(feats, torch.randn(3, 1, CHANNELS)), expected)


def test_a_frame_is_gated_by_its_own_sound(decoder):
    torch.nn.init.normal_(decoder.gates[0].weight)
    audio = torch.randn(3, 1, CHANNELS)
    before = decoder(maps(), audio)
    audio[1] += 1
    after = decoder(maps(), audio)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


def test_parameters_by_hand(decoder):
    own = sum(parameter.numel() for gate in decoder.gates for parameter in gate.parameters())
    assert own == 4 * (CHANNELS * CHANNELS + CHANNELS)


def test_config_trains_one_step_on_generated_data(tmp_path):
    generate(str(tmp_path), 'ms3', clips=dict(train=1, val=1, test=1), seed=0, image_size=96, workers=0)
    cfg = Config.fromfile(CONFIG)
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.dataset.data_root = str(tmp_path)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    decoder = model.decode_head.pixel_decoder
    assert type(decoder).__name__ == 'AudioGatedPixelDecoder'
    assert type(model.neck).__name__ == 'MTENeck'
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = model.data_preprocessor(pseudo_collate([dataset[0]]), training=True)
    loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(gate.weight.grad.abs().sum() > 0 for gate in decoder.gates)
    optimizer.step()
    assert all(gate.weight.abs().sum() > 0 for gate in decoder.gates)


def run_python(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, '-W', 'ignore', *map(str, arguments)], cwd=cwd, capture_output=True,
                          text=True, check=False, env={'PYTHONPATH': str(ROOT), 'PATH': ''})


def test_module_is_known_by_its_import_alone():
    done = run_python('-c', 'from mmengine.config import Config\n'
                            f'Config.fromfile({str(CONFIG)!r})\n'
                            'from mmavs.registry import MODELS\n'
                            'print(MODELS.get("mmavs.AudioGatedPixelDecoder").__module__)')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith('projects.example_project.audio_gated_pixel_decoder')


@pytest.fixture
def own_config(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text("_base_ = 'mmavs::avs_mamba/tiny_shapes.py'\nmodel = dict(neck=dict(num_layers=3))\n")
    return path


def test_a_project_elsewhere_inherits_from_the_installed_package(own_config):
    done = run_python('-c', 'import mmavs\nfrom mmengine.config import Config\n'
                            'cfg = Config.fromfile("own.py")\n'
                            'print(cfg.model.neck.num_layers, cfg.model.neck.out_channels, cfg.model.neck.type)',
                      cwd=own_config.parent)
    assert done.stdout.split() == ['3', '64', 'mmavs.MTENeck'], done.stderr


def test_the_tools_know_the_name_of_the_package(own_config):
    saved = own_config.parent / 'whole.py'
    done = run_python(ROOT / 'tools' / 'misc' / 'print_config.py', 'own.py', '--save-path', saved,
                      cwd=own_config.parent)
    assert done.returncode == 0, done.stderr
    assert build_model(Config.fromfile(saved)).neck.layers[2] is not None


def test_the_readme_names_a_checkpoint_that_training_leaves():
    last = Config.fromfile(CONFIG).train_cfg.max_epochs
    named = re.findall(r'work_dirs/(\w+)/epoch_(\d+)\.pth', (CONFIG.parents[1] / 'README.md').read_text())
    assert named == [(CONFIG.stem, str(last))]


def test_the_name_is_not_taken_by_the_package():
    assert MODELS.get('mmavs.FPNPixelDecoder').__module__.startswith('mmavs.')
