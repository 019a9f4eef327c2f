import pytest
import torch
from mmengine.config import Config

from mmavs.engine.runner.memory_advice import explain_out_of_memory

CONFIG = dict(input_size=(512, 512), train_dataloader=dict(batch_size=4, num_workers=2),
              test_dataloader=dict(batch_size=1), model=dict(backbone=dict(with_cp=False), neck=dict(with_cp=True),
                                                             decode_head=dict(parts=[dict(with_cp=False)])))


def cpu_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


@pytest.mark.parametrize(('error', 'start'), [
    (torch.cuda.OutOfMemoryError('CUDA out of memory.'), 'The accelerator ran out of memory. To reduce its use'),
    (MemoryError(), 'The main memory ran out. To reduce its use'),
    (cpu_error(), 'The main memory ran out. To reduce its use'),
])
@pytest.mark.parametrize('wrap', [dict, Config])
def test_names_the_keys_with_their_values(error, start, wrap):
    text = explain_out_of_memory(error, wrap(CONFIG))
    assert text.startswith(start)
    for part in ('train_dataloader.batch_size (now 4)', 'test_dataloader.batch_size (now 1)',
                 'model.backbone.with_cp=True, model.decode_head.parts.0.with_cp=True (activation', 'now (512, 512)',
                 '--resume'):
        assert part in text
    assert 'model.neck' not in text


def test_config_without_these_keys_gets_general_advice():
    text = explain_out_of_memory(MemoryError(), {})
    assert 'with_cp=True (activation checkpointing) in model.backbone' in text
    assert 'the scale of the resize and crop transforms;' in text
    assert 'None' not in text


def test_killed_worker_names_the_workers():
    error = RuntimeError('DataLoader worker (pid 12) is killed by signal: Killed. ')
    assert 'train_dataloader.num_workers (now 2)' in explain_out_of_memory(error, CONFIG)


@pytest.mark.parametrize('error', [RuntimeError('shape mismatch'), ValueError('memory'), KeyError('x')])
def test_other_errors_get_no_advice(error):
    assert explain_out_of_memory(error, CONFIG) is None
