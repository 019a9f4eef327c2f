"""mmengine's runner with exact resuming, safe loading and errors that say what to do."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_rank, is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmavs.engine.samplers import SeededDataset, SeededSampler, init_worker
from mmavs.utils.resume import find_resume_checkpoint

from .memory_advice import OutOfMemoryAdviceError, explain_out_of_memory
from .resumable_loops import ResumableEpochLoop, ResumableIterLoop
from .safe_loading import trusts_checkpoints

_LOOPS = {'EpochBasedTrainLoop': ResumableEpochLoop, 'IterBasedTrainLoop': ResumableIterLoop}


@RUNNERS.register_module()
class AVSRunner(Runner):
    """The runner of ``tools/train.py`` and ``tools/test.py``; built by ``AVSRunner.from_cfg(cfg)`` like mmengine's.

    It takes the same configs as :class:`mmengine.runner.Runner` and differs in this:

    - random numbers of a sample depend on (seed, epoch, index) only: see :class:`mmavs.engine.samplers.SeededSampler`;
    - a run resumed from a checkpoint of :class:`mmavs.engine.hooks.AtomicCheckpointHook`, at any iteration, continues
      bit for bit as if it had not stopped (CPU);
    - ``resume=True`` takes the newest valid checkpoint and names those it passed over;
    - checkpoints are opened without running code (:func:`install_safe_loading`), the config text in them included;
    - running out of memory names the config keys that help.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._resume_state: dict | None = None
        trusts_checkpoints()
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

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop; mmengine's two loops are replaced by their resumable counterparts."""
        if isinstance(loop, dict):
            loop = dict(loop)
            kind = loop.get('type')
            if kind is None:
                kind = 'EpochBasedTrainLoop' if loop.pop('by_epoch') else 'IterBasedTrainLoop'
            name = kind if isinstance(kind, str) else kind.__name__
            loop['type'] = _LOOPS.get(name.split('.')[-1], kind)
        return super().build_train_loop(loop)

    def load_or_resume(self) -> None:
        """Load or resume as the config says; ``resume=True`` without ``load_from`` finds the newest valid checkpoint.

        Raises:
            RuntimeError: If there are checkpoints and none is valid: starting over would hide the loss of a run.
        """
        if not self._has_loaded and self._resume and self._load_from is None:
            path = self._newest_valid_checkpoint()
            if path is None:
                self.logger.info(f'No checkpoint to resume from in {self.work_dir}: training starts from scratch.')
                return
            self._load_from = path
        super().load_or_resume()

    def _newest_valid_checkpoint(self) -> str | None:
        """Choose on the main process, so that all processes resume from the same file."""
        answer: list = [None, None]
        if is_main_process():
            choice = find_resume_checkpoint(self.work_dir, trust=trusts_checkpoints())
            for path, reason in choice.passed_over:
                self.logger.warning(f'Passed over {path}: {reason}.')
            answer = [str(choice.path) if choice.path else None, len(choice.passed_over)]
        broadcast_object_list(answer)
        if answer[0] is None and answer[1]:
            raise RuntimeError(f'None of the {answer[1]} checkpoints in {self.work_dir} can be resumed from (see the '
                               'warnings above): move them away to start from scratch.')
        return answer[0]

    def load_checkpoint(self, filename: str, map_location: str | Callable = 'cpu', strict: bool = False,
                        revise_keys: list | None = None) -> dict:
        """Load weights as mmengine does; nothing in the file is executed.

        ``Runner.resume`` runs the text under ``meta['config']``, which old versions of mmengine wrote, as Python code;
        it is taken out here.
        """
        revise_keys = [(r'^module.', '')] if revise_keys is None else revise_keys
        checkpoint = super().load_checkpoint(filename, map_location, strict, revise_keys)
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
        return self._with_memory_advice(super().train)

    def test(self) -> dict:
        """Test. Raises as :meth:`train`."""
        return self._with_memory_advice(super().test)

    def _with_memory_advice(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (RuntimeError, MemoryError) as error:
            advice = explain_out_of_memory(error, self.cfg)
            if advice is None:
                raise
            self.logger.error(advice)
            raise OutOfMemoryAdviceError(advice) from error
