"""What ``tools/train.py`` and ``tools/test.py`` share: reading a config and starting processes."""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed
from mmengine.config import Config, DictAction
from mmengine.dist import is_distributed


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every mm tool has: ``--work-dir --cfg-options --launcher``."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config name>)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries, e.g. train_cfg.max_epochs=1 model.backbone.init_cfg=None')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how the processes were started (tools/dist_train.sh passes pytorch)')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='open checkpoints that execute code when they are loaded; only for files of your own')
    # torch.distributed.launch passes it; torchrun sets the environment variable instead.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(path: str, options: dict | None, work_dir: str | None, launcher: str) -> Config:
    """Read a config file and apply the command line.

    Args:
        path: Config file.
        options: ``--cfg-options``, merged over the file.
        work_dir: ``--work-dir``; None keeps the file's ``work_dir``, else ``work_dirs/<config name>``.
        launcher: ``--launcher``.

    Returns:
        The config, with ``work_dir`` and ``launcher`` set.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'No config file {path}. The configs of this package are in configs/avs_mamba/.')
    cfg = Config.fromfile(path)
    cfg.launcher = launcher
    if options:
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg


def prepare_distributed(cfg: Config, local_rank: int = 0) -> None:
    """Let torchrun start CPU processes.

    mmengine always selects a CUDA device per process; without one, the gloo process group is made here and the model
    wrapper is told to use no device index.
    """
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if cfg.launcher != 'pytorch' or torch.cuda.is_available():
        return
    if not is_distributed():
        torch.distributed.init_process_group(backend='gloo')
    cfg.setdefault('model_wrapper_cfg', dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=False))


def use_mixed_precision(cfg: Config) -> None:
    """``--amp``: bfloat16 autocast where the device has it (CPU included), else mmengine's scaled float16.

    Raises:
        ValueError: If the config's optimiser wrapper is neither plain nor a mixed-precision one.
    """
    wrapper = cfg.optim_wrapper
    if wrapper.type in ('AmpOptimWrapper', 'mmavs.AutocastOptimWrapper'):
        return
    if wrapper.type != 'OptimWrapper':
        raise ValueError(f'--amp replaces optim_wrapper.type="OptimWrapper", but the config has "{wrapper.type}". '
                         'Set a mixed-precision wrapper in the config instead.')
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.loss_scale = 'dynamic'
    else:
        wrapper.type = 'mmavs.AutocastOptimWrapper'
