"""A model and a dataset small enough to train in a test, through the real tools and the real config."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import torch
from mmengine.config import Config

from mmavs.datasets.sounding_shapes import generate
from mmavs.utils.building import build_model

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f'''
_base_ = [{str(ROOT / 'configs' / 'avs_mamba' / 'tiny_shapes.py')!r}]
input_size = (32, 32)
model = dict(
    backbone=dict(base_channels=4),
    audio_backbone=dict(stage_channels=(4, 4, 4, 4), fc_channels=(16, 16, 128)),
    neck=dict(in_channels=(4, 8, 16, 32), out_channels=32, num_orders=2, d_state=2),
    decode_head=dict(
        in_channels=(32, 32, 32, 32), channels=32, num_layers=1, d_state=2, mlp_channels=16, fc_channels=(8, 4),
        pixel_decoder=dict(channels=32, num_orders=2, d_state=2)))
train_pipeline = [
    dict(type='mmavs.LoadClipFrames'),
    dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.ClipRandomFlip', prob=0.5),
    dict(type='mmavs.ClipResize', scale=input_size),
    dict(type='mmavs.LogMelSpectrogram'),
    dict(type='mmavs.PackAVSInputs'),
]
test_pipeline = [
    dict(type='mmavs.LoadClipFrames'),
    dict(type='mmavs.ClipResize', scale=input_size),
    dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.LogMelSpectrogram'),
    dict(type='mmavs.PackAVSInputs'),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
param_scheduler = []
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
'''


def write_config(folder: Path, more: str = '') -> Path:
    """Write the micro config, with more settings appended; returns its path."""
    path = folder / 'micro.py'
    path.write_text(CONFIG + more)
    return path


def generate_data(root: Path, subset: str = 'ms3', train: int = 4, val: int = 2, test: int = 3) -> Path:
    """Generate a SoundingShapes dataset of 64x64 frames in one process; returns its root."""
    generate(root, subset, clips=dict(train=train, val=val, test=test), seed=0, image_size=64, workers=1)
    return root


def random_checkpoint(config: Path, path: Path) -> Path:
    """Write random weights of the config's model, always the same; returns the path."""
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_model(Config.fromfile(config)).state_dict(), meta={}), path)
    return path


def load_tool(name: str) -> ModuleType:
    """Import a script of ``tools/`` by its path, e.g. ``'train.py'``."""
    path = ROOT / 'tools' / name
    spec = importlib.util.spec_from_file_location(f'tools_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(name: str, *arguments: object, data_root: Path, processes: int = 1,
             **environment: str) -> subprocess.CompletedProcess:
    """Run a script of ``tools/`` in its own process (or several, on gloo) and return what it printed."""
    command = [sys.executable, '-W', 'ignore']
    arguments = [str(argument) for argument in arguments]
    if processes > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(processes)]
        arguments += ['--launcher', 'pytorch']
    env = {**os.environ, 'MMAVS_DATA_ROOT': str(data_root), 'OMP_NUM_THREADS': '1', **environment}
    return subprocess.run([*command, str(ROOT / 'tools' / name), *arguments], capture_output=True, text=True, env=env,
                          cwd=ROOT, check=False)
