"""The runner of the tools: mmengine's, made to survive interruptions, bad files and untrusted checkpoints."""

from .atomic_write import AtomicLocalBackend, atomic_write
from .avs_runner import AVSRunner
from .memory_advice import explain_out_of_memory
from .resumable_loops import ResumableEpochLoop, ResumableIterLoop

__all__ = [
    'AVSRunner', 'AtomicLocalBackend', 'ResumableEpochLoop', 'ResumableIterLoop', 'atomic_write',
    'explain_out_of_memory'
]
