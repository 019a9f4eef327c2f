"""What ``tools/train.py`` and ``tools/test.py`` share: reading a config, starting processes, ending in one sentence."""

import argparse
import atexit
import dis
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed
from mmengine.config import Config, DictAction
from mmengine.dist import barrier, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmavs.engine.runner import AVSRunner
from mmavs.utils.config_check import ConfigMistakeError, check_config, check_options
from mmavs.utils.large_pages import use_large_pages
from mmavs.utils.type_names import type_name

# Exit code of a tool that was used wrongly or met files that are broken; argparse uses the same.
USER_ERROR = 2
TRACEBACK_VARIABLE = 'MMAVS_TRACEBACK'
# Errors that a `raise` of these packages uses for mistakes of the user.
_MISTAKES = (ValueError, TypeError, KeyError, OSError, ImportError, RuntimeError, AssertionError)
# What starts the processes, and a variable of their environment.
_LAUNCHERS = dict(pytorch=('torchrun (tools/dist_train.sh, tools/dist_test.sh)', 'RANK'),
                  slurm=('srun', 'SLURM_PROCID'), mpi=('mpirun', 'OMPI_COMM_WORLD_LOCAL_RANK'))
_BLAMES_USER = ('__main__', 'mmavs', 'mmcv', 'mmengine', 'mmpretrain', 'mmseg')


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
        ConfigMistakeError: If the file cannot be read, an option does not fit it, or parts of it do not fit each other.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'No config file {path}. The configs of this package are in configs/avs_mamba/.')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        # A config is Python: reading it can raise anything.
        reason = f'{type(error).__name__}: {_first_line(error)}'
        raise ConfigMistakeError(f'The config file {path} cannot be read: {reason}') from error
    cfg.launcher = launcher
    check_options(cfg, options or {})
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, IndexError, TypeError, AssertionError) as error:
        raise ConfigMistakeError(f'--cfg-options {options} do not fit {path}: {_first_line(error)}') from error
    check_config(cfg)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg


def prepare_distributed(cfg: Config, local_rank: int = 0) -> None:
    """Let torchrun start CPU processes.

    mmengine always selects a CUDA device per process; without one, the gloo process group is made here and the model
    wrapper is told to use no device index.

    Raises:
        ValueError: If the launcher did not start this process.
    """
    starter, variable = _LAUNCHERS.get(cfg.launcher, (None, None))
    if variable is not None and variable not in os.environ:
        raise ValueError(f'--launcher {cfg.launcher}, but this process was not started by one ({variable} is not set): '
                         f'start it with {starter}, or leave --launcher out for a single process.')
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
    kind = type_name(wrapper)
    if kind in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise ValueError(f'--amp replaces optim_wrapper.type="OptimWrapper", but the config has "{kind}". '
                         'Set a mixed-precision wrapper in the config instead.')
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.loss_scale = 'dynamic'
    else:
        wrapper.type = 'mmavs.AutocastOptimWrapper'


def build_runner(cfg: Config) -> Runner:
    """The runner of a config: :class:`mmavs.engine.runner.AVSRunner`, or what ``runner_type`` names, as in mm tools.

    What another runner does is its own: of ours it lacks the exact resuming, and the checks of what it resumes from.
    """
    return RUNNERS.build(cfg) if cfg.get('runner_type') else AVSRunner.from_cfg(cfg)


def run_main(main: Callable[[], int]) -> int:
    """Run a tool's ``main``; a mistake of the user ends in one sentence on standard error instead of a traceback.

    With the environment variable ``MMAVS_TRACEBACK=1`` the traceback is printed too. Errors that are none of the user's
    (bugs) pass through. The processes of a distributed run end together. Large tensors get large pages, see
    :func:`mmavs.utils.large_pages.use_large_pages`.

    Args:
        main: Called without arguments.

    Returns:
        The exit code of ``main``, or 2 after a mistake.
    """
    use_large_pages()
    try:
        code = main()
        _end_together(code)
        return code
    except SystemExit as end:
        if isinstance(end.code, int):
            _end_together(end.code)
        raise
    except Exception as error:
        if not is_user_error(error):
            raise
        if os.environ.get(TRACEBACK_VARIABLE, '0') not in ('', '0'):
            traceback.print_exc()
        print(f'error: {_first_line(error)}', file=sys.stderr, flush=True)
        return USER_ERROR


def _end_together(code: int) -> None:
    """End a process of a distributed run at once: the interpreter's own end may abort it over a thread of gloo's."""
    if is_distributed():
        barrier()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_user_error(error: BaseException) -> bool:
    """Whether an error says what the user did wrong.

    That is: an error type of this package; a common type that a ``raise`` or ``assert`` statement of this package or of
    the mm packages uses, with a message; a registry's call of a constructor with arguments that it does not have; an
    operating system error about a file.
    """
    if type(error).__module__.startswith('mmavs.') or (isinstance(error, OSError) and error.filename is not None):
        return True
    trace = error.__traceback__
    if trace is None or not isinstance(error, _MISTAKES) or not str(error):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get('__name__', '')
    if module.startswith('mmengine.registry'):
        return True
    # A bug raises the same types, but not by a raise statement.
    raised = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap['RAISE_VARARGS']
    return raised and module.split('.')[0] in _BLAMES_USER


def _first_line(error: BaseException) -> str:
    """The message on one line. ``str`` of a KeyError would be its repr, that of an OSError begins with a number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}.'
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return ' '.join(text.split()) or type(error).__name__
