"""Where a checkpoint comes from: in the log and in the checkpoint itself."""

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook

from mmavs.registry import HOOKS
from mmavs.utils.provenance import collect_provenance


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Write seed, versions, git state, scan backend and command to the log and to ``meta['provenance']``.

    A checkpoint of a resumed run also keeps, under ``resumed_from``, the record of the run before it.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.record: dict = {}

    def before_run(self, runner: Any) -> None:
        """Collect and log the record."""
        self.record = describe_run(runner)
        lines = '\n'.join(f'    {key}: {value}' for key, value in self.record.items())
        runner.logger.info(f'Provenance:\n{lines}')

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the record of the run that is resumed."""
        meta = checkpoint.get('meta')
        if getattr(runner, '_resume', False) and isinstance(meta, dict) and 'provenance' in meta:
            self.record['resumed_from'] = {k: v for k, v in meta['provenance'].items() if k != 'resumed_from'}

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the record to the checkpoint's ``meta``."""
        checkpoint['meta']['provenance'] = dict(self.record, seed=runner.seed)


def describe_run(runner: Any) -> dict[str, Any]:
    """What a run is made with: seed, determinism, number of processes, and :func:`collect_provenance`."""
    return dict(seed=runner.seed, deterministic=bool(runner._randomness_cfg.get('deterministic', False)),
                processes=runner.world_size, **collect_provenance(torch.device(get_device()).type))
