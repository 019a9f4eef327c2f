import errno
import os
import signal

import pytest
import torch
from mmengine.config import Config

from mmavs.engine.runner import AVSRunner
from mmavs.engine.runner.memory_advice import OutOfMemoryAdviceError, explain_out_of_memory
from tests.engine.toy import ToyDataset, ToyModel, toy_config, train

pytestmark = pytest.mark.usefixtures('toy_runs')

CONFIG = dict(input_size=(512, 512), train_dataloader=dict(batch_size=4, num_workers=2),
              val_dataloader=dict(batch_size=3), test_dataloader=dict(batch_size=1, num_workers=5),
              model=dict(backbone=dict(with_cp=False), neck=dict(with_cp=True),
                         decode_head=dict(parts=[dict(with_cp=False)])))
ACCELERATOR, MAIN = "The accelerator's memory ran out. To reduce its use", 'The main memory ran out. To reduce its use'
# The message of torch's signal handler, and the one that the data loader raises on noticing.
KILLED = 'DataLoader worker (pid 12) is killed by signal: Killed. '
GONE = 'DataLoader worker (pid(s) 12) exited unexpectedly'


def cpu_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


@pytest.mark.parametrize(('error', 'start'), [
    (torch.cuda.OutOfMemoryError('CUDA out of memory.'), ACCELERATOR),
    (RuntimeError('CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA.'), ACCELERATOR),
    (getattr(torch, 'AcceleratorError', RuntimeError)('CUDA error: out of memory'), ACCELERATOR),
    (RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'), ACCELERATOR),
    (MemoryError(), MAIN), (cpu_error(), MAIN), (RuntimeError('std::bad_alloc'), MAIN),
    (OSError(errno.ENOMEM, 'Cannot allocate memory'), MAIN),
    (RuntimeError('unable to mmap 64 bytes from file </torch_1>: Cannot allocate memory (12)'), MAIN),
])
@pytest.mark.parametrize('wrap', [dict, Config])
def test_names_the_keys_with_their_values(error, start, wrap):
    text = explain_out_of_memory(error, wrap(CONFIG))
    assert text == (
        f'{start}, in this order: train_dataloader.batch_size (now 4); val_dataloader.batch_size (now 3); '
        'model.backbone.with_cp=True, model.decode_head.parts.0.with_cp=True (activation checkpointing, now False); '
        "input_size (now (512, 512)); optim_wrapper.type='mmavs.AutocastOptimWrapper' (bfloat16, --amp). "
        'Training resumes with --resume.')


def test_a_test_is_told_what_helps_a_test():
    assert explain_out_of_memory(MemoryError(), CONFIG, 'test') == (
        f'{MAIN}, in this order: test_dataloader.batch_size (now 1); input_size (now (512, 512)).')


def test_config_without_these_keys_gets_general_advice():
    text = explain_out_of_memory(MemoryError(), {})
    assert 'with_cp=True (activation checkpointing) in model.backbone' in text
    assert 'input_size (the scale of the resize' in text
    assert 'None' not in text


@pytest.mark.parametrize('message', [KILLED, GONE, KILLED.replace('Killed', 'Bus error')])
def test_killed_worker_names_the_workers(message):
    text = explain_out_of_memory(RuntimeError(message), CONFIG)
    assert text.startswith('A data loading worker was killed, which mostly means that the main memory or /dev/shm ran')
    assert text.endswith('Reduce train_dataloader.num_workers (now 2), train_dataloader.prefetch_factor or '
                         'train_dataloader.batch_size. Training resumes with --resume.')
    text = explain_out_of_memory(RuntimeError(message), CONFIG, 'test')
    assert text.endswith('Reduce test_dataloader.num_workers (now 5), test_dataloader.prefetch_factor or '
                         'test_dataloader.batch_size.')


def test_the_cause_counts():
    """A cause that says more comes before the error that it led to."""
    for cause, start in ((MemoryError(), MAIN), (RuntimeError(KILLED), 'A data loading worker was killed')):
        outer = RuntimeError(GONE)
        outer.__cause__ = cause
        assert explain_out_of_memory(outer, CONFIG).startswith(start)
        other = ValueError('clip a cannot be loaded')
        other.__cause__ = outer
        assert explain_out_of_memory(other, CONFIG).startswith(start)


@pytest.mark.parametrize('error', [RuntimeError('shape mismatch'), ValueError('memory'), KeyError('x'),
                                   OSError(errno.ENOSPC, 'No space left on device')])
def test_other_errors_get_no_advice(error):
    assert explain_out_of_memory(error, CONFIG) is None


def test_running_out_of_memory_names_the_keys(tmp_path, monkeypatch):
    def hungry(*args, **kwargs):
        return torch.empty(10**15)
    monkeypatch.setattr(ToyModel, 'forward', hungry)
    with pytest.raises(OutOfMemoryAdviceError, match=r'train_dataloader\.batch_size \(now 2\)'):
        train(tmp_path)


class Killer(ToyDataset):
    """Kills the worker that loads a sample, as the kernel does when memory is short."""

    def __getitem__(self, index):
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_killed_worker_names_the_keys_of_the_run(tmp_path):
    cfg = toy_config(tmp_path, workers=1)
    cfg.train_dataloader.dataset.type = Killer
    with pytest.raises(OutOfMemoryAdviceError, match=r'Reduce train_dataloader\.num_workers \(now 1\).* --resume\.$'):
        AVSRunner.from_cfg(cfg).train()
    cfg = toy_config(tmp_path, workers=1)
    cfg.update(test_dataloader=cfg.train_dataloader, test_cfg={}, test_evaluator=cfg.val_evaluator)
    cfg.test_dataloader.dataset.type = Killer
    with pytest.raises(OutOfMemoryAdviceError, match=r'Reduce test_dataloader\.num_workers \(now 1\).*batch_size\.$'):
        AVSRunner.from_cfg(cfg).test()


def test_other_errors_pass_through(tmp_path, monkeypatch):
    def wrong(*args, **kwargs):
        raise RuntimeError('shapes differ')
    monkeypatch.setattr(ToyModel, 'forward', wrong)
    with pytest.raises(RuntimeError, match=r'^shapes differ$'):
        train(tmp_path)
