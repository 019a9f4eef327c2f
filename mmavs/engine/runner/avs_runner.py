"""mmengine's runner with exact resuming, safe loading and errors that say what to do."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_rank, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, LOOPS, Registry
from mmengine.runner import CheckpointLoader, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmavs.engine.samplers import SeededDataset, SeededSampler, init_worker
from mmavs.registry import RUNNERS
from mmavs.utils.resume import checkpoint_defect, find_resume_checkpoint
from mmavs.utils.safe_load import require_fit, trusts_checkpoints, use_safe_checkpoint_loading, weights_of
from mmavs.utils.weight_fit import compare_weights

from .memory_advice import OutOfMemoryAdviceError, explain_out_of_memory
from .resumable_loops import ResumableEpochLoop, ResumableIterLoop
from .tolerant_logging import TolerantLoggerHook, tolerate_unwritable_files
from .weight_loading import load_fitting, renamed, report_misfit

# Hooks that mmengine adds by itself; it takes None, "without this hook", for these only.
_ADDED_HOOKS = {'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'}
_LOOPS = {EpochBasedTrainLoop: ResumableEpochLoop, IterBasedTrainLoop: ResumableIterLoop}


@RUNNERS.register_module()
class AVSRunner(Runner):
    """The runner of ``tools/train.py`` and ``tools/test.py``; built by ``AVSRunner.from_cfg(cfg)`` like mmengine's.

    ``runner_type='mmavs.AVSRunner'`` in a config selects it in the tools of other mm packages.

    It takes the same configs as :class:`mmengine.runner.Runner` and differs in this:

    - random numbers of a sample depend on (seed, epoch, index) only: see :class:`mmavs.engine.samplers.SeededSampler`;
    - a run resumed from a checkpoint of :class:`mmavs.engine.hooks.AtomicCheckpointHook`, at any iteration, continues
      bit for bit as if it had not stopped (CPU);
    - ``resume=True`` takes the newest valid checkpoint and names those it passed over;
    - a checkpoint that does not fit the model is an error and not a table of scores of random weights;
    - checkpoints are opened without running code (:mod:`mmavs.utils.safe_load`), the config text in them included;
    - running out of memory names the config keys that help;
    - on a full disk training goes on: neither logs nor checkpoints that cannot be written end it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._resume_state: dict | None = None
        self._trains = False
        use_safe_checkpoint_loading(trust=trusts_checkpoints())
        super().__init__(*args, **kwargs)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """Build a data loader whose samples have their own seeds; see :class:`mmavs.engine.samplers.SeededDataset`.

        The loader gets a generator of its own: by default it draws from the model's whenever its workers start, and a
        resumed run starts them once more often.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        cfg = copy.deepcopy(dataloader)
        cfg['dataset'] = dict(type=SeededDataset, dataset=cfg['dataset'])
        cfg['sampler'] = dict(type=SeededSampler, sampler=cfg['sampler'])
        cfg.setdefault('generator', torch.Generator().manual_seed(seed or 0))
        cfg.setdefault('worker_init_fn', dict(type=init_worker, num_workers=cfg.get('num_workers', 0),
                                              rank=get_rank(), seed=seed or 0))
        return Runner.build_dataloader(cfg, seed=seed, diff_rank_seed=diff_rank_seed)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; lines that its file cannot take are not an error."""
        logger = super().build_logger(*args, **kwargs)
        tolerate_unwritable_files(logger)
        return logger

    def register_default_hooks(self, hooks: dict[str, Hook | dict | None] | None = None) -> None:
        """Register the default hooks; None in the place of any hook leaves it out."""
        super().register_default_hooks({name: hook for name, hook in (hooks or {}).items()
                                        if hook is not None or name in _ADDED_HOOKS})

    def register_hook(self, hook: Hook | dict, priority: str | int | None = None) -> None:
        """Register a hook; mmengine's ``LoggerHook``, a default of every run, is replaced by its tolerant form."""
        if isinstance(hook, dict) and _found(HOOKS, hook.get('type')) is LoggerHook:
            hook = dict(hook, type=TolerantLoggerHook)
        super().register_hook(hook, priority)

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop; mmengine's two loops are replaced by their resumable counterparts."""
        if isinstance(loop, dict):
            loop = dict(loop)
            if 'type' not in loop:
                loop['type'] = 'EpochBasedTrainLoop' if loop.pop('by_epoch') else 'IterBasedTrainLoop'
            loop['type'] = _LOOPS.get(_found(LOOPS, loop['type']), loop['type'])
        return super().build_train_loop(loop)

    def load_or_resume(self) -> None:
        """Load or resume as the config says.

        With ``resume=True`` the newest valid checkpoint of the work folder comes first: it is further than whatever
        the run began with. Where there is none, ``load_from`` is resumed from if it is a checkpoint of a training, else
        its weights are loaded.

        Raises:
            RuntimeError: If there are checkpoints and none is valid: starting over would hide the loss of a run.
            ValueError: If a checkpoint does not fit the model; see :meth:`load_checkpoint`.
        """
        if not self._has_loaded and self._resume:
            self._choose_start()
        super().load_or_resume()

    def _choose_start(self) -> None:
        """Set ``_load_from`` and ``_resume`` to what a run with ``resume=True`` begins with."""
        newest, given = self._newest_valid_checkpoint(), self._load_from
        if newest is not None:
            if given is not None:
                self.logger.info(f'Training goes on from {newest} in the work folder; load_from={given} is not read.')
            self._load_from = newest
            return
        self._resume = given is not None and self._on_main_process(lambda: checkpoint_defect(given) is None)
        start = 'from scratch' if given is None else (
            f'where load_from={given} ended' if self._resume else f'with the weights of load_from={given}')
        self.logger.info(f'No checkpoint to resume from in {self.work_dir}: training starts {start}.')

    def _newest_valid_checkpoint(self) -> str | None:
        choice = self._on_main_process(lambda: find_resume_checkpoint(self.work_dir))
        for path, reason in choice.passed_over:
            self.logger.warning(f'Passed over {path}: {reason}.')
        if choice.path is None and choice.passed_over:
            raise RuntimeError(f'None of the {len(choice.passed_over)} checkpoints in {self.work_dir} can be resumed '
                               'from (see the warnings above): move them away to start from scratch or from load_from.')
        return str(choice.path) if choice.path else None

    @staticmethod
    def _on_main_process(decide: Callable[[], Any]) -> Any:
        """Let the main process decide, so that all processes do the same."""
        answer = [decide() if is_main_process() else None]
        broadcast_object_list(answer)
        return answer[0]

    def load_checkpoint(self, filename: str, map_location: str | Callable = 'cpu', strict: bool | None = None,
                        revise_keys: list | None = None) -> dict:
        """Load weights; nothing in the file is executed.

        Testing and resuming need exactly the weights of the model. A training that begins from ``load_from`` may take
        over a part of them (a head with other classes starts anew); what is not loaded is listed in the log.

        Args:
            filename: A local file.
            map_location: As in :func:`torch.load`. Default ``'cpu'``.
            strict: Whether all weights must fit. Default None: unless a training begins from ``load_from``.
            revise_keys: (pattern, replacement) pairs for the names in the file. Default: take off ``module.``.

        Returns:
            The content of the file, without ``meta['config']``: ``Runner.resume`` runs this text, which old versions of
            mmengine wrote, as Python code.

        Raises:
            ValueError: If the weights do not fit, or none of them does where a part is enough.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        weights = renamed(weights_of(checkpoint, filename), revise_keys or ())
        if strict if strict is not None else self._resume or not self._trains:
            require_fit(model, weights, filename)
        else:
            report_misfit(compare_weights(model.state_dict(), weights), filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        # A hook may have exchanged the weights (EMAHook does).
        load_fitting(model, renamed(weights_of(checkpoint, filename), revise_keys or ()))
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        self._resume_state = checkpoint.get('resume_state')
        return checkpoint

    def resume(self, filename: str, resume_optimizer: bool = True, resume_param_scheduler: bool = True,
               map_location: str | Callable = 'default') -> None:
        """Resume all training state from a checkpoint, the position in the epoch and the random states included."""
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        if self._resume_state is None:
            self.logger.warning(f'{filename} was not written by AtomicCheckpointHook: training resumes at the start of '
                                'an epoch with new random numbers.')
        self.train_loop.resume_state = self._resume_state

    def train(self) -> nn.Module:
        """Train. See :class:`mmengine.runner.Runner`.

        Raises:
            OutOfMemoryAdviceError: If memory runs out; the message names the config keys that help.
        """
        self._trains = True
        return self._with_memory_advice(super().train)

    def test(self) -> dict:
        """Test. Raises as :meth:`train`, and ValueError if the checkpoint does not fit the model."""
        self._trains = False
        return self._with_memory_advice(super().test)

    def _with_memory_advice(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            advice = explain_out_of_memory(error, self.cfg, 'train' if self._trains else 'test')
            if advice is None:
                raise
            self.logger.error(advice)
            raise OutOfMemoryAdviceError(advice) from error


def _found(registry: Registry, kind: str | type | None) -> Any:
    """What the ``type`` of a config is: pure Python configs hold the class or its place instead of its name."""
    return registry.get(kind) if isinstance(kind, str) else kind
