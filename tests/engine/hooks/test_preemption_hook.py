import signal

import pytest
from mmengine.hooks import Hook

from mmavs.engine.hooks import EXIT_PREEMPTED, PreemptionHook
from tests.engine.toy import SignalAt, assert_same_weights, toy_config, train

pytestmark = pytest.mark.usefixtures('toy_runs')


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


def test_exit_code_is_tempfail():
    assert EXIT_PREEMPTED == 75


def test_unknown_signal_is_refused():
    with pytest.raises(ValueError, match="names 'SIGNONE', which does not exist"):
        PreemptionHook(signals=('SIGTERM', 'SIGNONE'))


def test_needs_a_hook_that_can_save(tmp_path):
    hooks = dict(checkpoint=dict(type='CheckpointHook'), preemption=dict(type='mmavs.PreemptionHook'))
    with pytest.raises(RuntimeError, match=r"type='mmavs\.AtomicCheckpointHook'.*preemption=None"):
        train(tmp_path, default_hooks=hooks)


def test_iteration_is_finished_and_saved(tmp_path):
    seen = []

    class Watch(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
            seen.append(runner.iter)

    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, SignalAt(3), custom_hooks=[Watch()])
    assert stopped.value.code == 75
    assert seen == [0, 1, 2, 3]
    assert names(tmp_path) == ['epoch_0_iter_4.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_0_iter_4.pth')


def test_only_the_chosen_signals_are_caught_and_handlers_return(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    hook = PreemptionHook(signals=('SIGINT', ))
    inside = []

    class Watch(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            inside.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)])

    hooks = toy_config(tmp_path).default_hooks
    del hooks['preemption']
    train(tmp_path, hook, epochs=1, default_hooks=hooks, custom_hooks=[Watch()])
    assert inside[0] == [before[0], hook._receive]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_second_signal_is_not_caught(monkeypatch):
    monkeypatch.setattr('os.write', lambda *args: None)
    hook = PreemptionHook()
    hook._receive(signal.SIGTERM, None)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == [signal.SIG_DFL] * 2


def test_validation_is_left_at_once_when_its_checkpoint_is_saved(tmp_path):
    train(tmp_path / 'reference')
    with pytest.raises(SystemExit):
        train(tmp_path / 'stopped', SignalAt(6, stage='val'))
    assert names(tmp_path / 'stopped') == ['epoch_1.pth']
    train(tmp_path / 'stopped', resume=True)
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')


def test_validation_is_left_at_once_where_regular_checkpoints_are_rare(tmp_path):
    """The loop saves before it validates."""
    config = dict(checkpoint=dict(interval=3, save_best=None))
    train(tmp_path / 'reference', **config)
    with pytest.raises(SystemExit):
        train(tmp_path / 'stopped', SignalAt(6, stage='val'), **config)
    assert names(tmp_path / 'stopped') == ['epoch_1_iter_6.pth']
    train(tmp_path / 'stopped', resume=True, **config)
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')


def test_waits_for_the_end_of_gradient_accumulation(tmp_path):
    config = dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9), accumulative_counts=3),
                  checkpoint=dict(save_best=None))
    train(tmp_path / 'reference', **config)
    with pytest.raises(SystemExit):
        train(tmp_path / 'stopped', SignalAt(6), **config)
    assert names(tmp_path / 'stopped') == ['epoch_1.pth', 'epoch_1_iter_9.pth']
    train(tmp_path / 'stopped', resume=True, **config)
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')
