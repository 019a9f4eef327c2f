import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmavs.engine.hooks import InvalidLossError, InvalidLossHook
from mmavs.engine.hooks.invalid_loss_hook import _all_finite, _InvalidGradientError, clip_names
from tests.engine.toy import all_weights, assert_same_weights, toy_config, train

pytestmark = pytest.mark.usefixtures('toy_runs')
POISON = dict(poisoned=(5, ))


def hooks(**options) -> dict:
    found = toy_config('unused').default_hooks
    found.invalid_loss.update(options)
    found.checkpoint.update(save_best=None)
    return found


def events(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / 'invalid_loss.jsonl').read_text().splitlines()]


class Weights(Hook):
    """Weights and buffers after each iteration."""

    def __init__(self) -> None:
        self.after: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.after.append({key: value.clone() for key, value in runner.model.state_dict().items()})

    def updates(self) -> list[int]:
        """Iterations, from 1 on, that changed a weight."""
        weights = [key for key in self.after[0] if 'running' not in key and 'tracked' not in key]
        return [i for i in range(1, len(self.after))
                if any(not torch.equal(self.after[i][key], self.after[i - 1][key]) for key in weights)]


@pytest.mark.parametrize(('options', 'message'), [
    (dict(action='ignore'), "action='ignore' of InvalidLossHook must be 'stop' or 'skip'"),
    (dict(max_skips=0), 'max_skips=0 of InvalidLossHook must be at least 1')])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InvalidLossHook(**options)
    assert InvalidLossHook(max_skips=1).max_skips == 1


def test_stop_names_the_clips_and_saves_the_state_before_the_batch(tmp_path):
    message = r'The loss is nan at epoch 1, iteration \d, on the clips .*clip_5'
    with pytest.raises(InvalidLossError, match=message) as error:
        train(tmp_path / 'a', dataset=POISON, default_hooks=hooks(), randomness=dict(seed=1))
    for part in ('invalid_loss.jsonl', 'optim_wrapper.optimizer.lr', "default_hooks.invalid_loss.action='skip'"):
        assert part in str(error.value)
    event, = events(tmp_path / 'a')
    assert event['action'] == 'stop'
    assert event['loss'] == ['nan']
    assert 'clip_5' in event['clips'][0]
    assert len(event['clips'][0]) == 2
    saved = tmp_path / 'a' / f'epoch_0_iter_{event["iter"] - 1}.pth'
    checkpoint = torch.load(saved, weights_only=False)
    assert checkpoint['resume_state']['samples'] == 2 * (event['iter'] - 1)
    assert all(torch.isfinite(value).all() for value in checkpoint['state_dict'].values())


def test_skip_leaves_weights_and_optimizer_untouched(tmp_path):
    watch = Weights()
    train(tmp_path, watch, epochs=1, dataset=POISON, default_hooks=hooks(action='skip'))
    event, = events(tmp_path)
    position = event['iter'] - 1
    before = watch.after[position - 1] if position else None
    changed = [any(not torch.equal(watch.after[i][key], watch.after[i - 1][key]) for key in watch.after[0])
               for i in range(1, 6)]
    assert [number for number, change in enumerate(changed, 1) if not change] == ([position] if before else [])
    assert all(torch.isfinite(value).all() for value in all_weights(tmp_path, 'epoch_1.pth').values())


def test_skipping_for_ever_is_stopped(tmp_path):
    with pytest.raises(InvalidLossError, match='Training stops after 3 invalid batches in a row'):
        train(tmp_path, dataset=dict(poisoned=tuple(range(12))), default_hooks=hooks(action='skip', max_skips=3))
    assert [event['action'] for event in events(tmp_path)] == ['skip', 'skip', 'stop']
    assert list(tmp_path.glob('*.pth')) != []


def test_valid_batches_reset_the_count(tmp_path):
    train(tmp_path, dataset=dict(poisoned=(5, 7)), default_hooks=hooks(action='skip', max_skips=3))
    assert len(events(tmp_path)) >= 3


def test_infinite_values_count_as_invalid():
    assert _all_finite(torch.tensor(1e30))
    assert not _all_finite(torch.tensor(float('inf')))
    assert not _all_finite(torch.tensor([1.0, float('nan')]))


@pytest.mark.parametrize('kind', ['steep', 'nan'])
def test_stop_before_the_weights_or_statistics_are_poisoned(tmp_path, kind):
    """A NaN gradient of a finite loss would reach the weights, a NaN input BatchNorm's statistics."""
    what = r'The gradient is not finite \(the loss is \d\.\d+\)' if kind == 'steep' else 'The loss is nan'
    with pytest.raises(InvalidLossError, match=what + r' at epoch 1, iteration \d, on the clips .*clip_5.*'
                                                      'the weights are those before this batch'):
        train(tmp_path / 'a', dataset={kind: (5, )}, randomness=dict(seed=1))
    event, = events(tmp_path / 'a')
    assert event['what'] == ('gradient' if kind == 'steep' else 'loss')
    assert 'clip_5' in event['clips'][0]
    saved = tmp_path / 'a' / f'epoch_0_iter_{event["iter"] - 1}.pth'
    state = torch.load(saved, weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in state.values())
    runner = train(tmp_path / 'a', resume=True, randomness=dict(seed=1))
    assert runner.iter == 18
    assert all(torch.isfinite(value).all() for value in all_weights(tmp_path / 'a').values())


@pytest.mark.parametrize('scaled', [False, True])
def test_gradients_that_a_loss_scaler_looks_after_are_left_to_it(scaled):
    weight = torch.nn.Parameter(torch.ones(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0))
    if scaled:
        wrapper.loss_scaler = 'skips such steps by itself, and looks for the scale by them'
    InvalidLossHook().before_train(SimpleNamespace(optim_wrapper=wrapper))
    with nullcontext() if scaled else pytest.raises(_InvalidGradientError):
        wrapper.backward((weight * float('inf')).sum())


@pytest.mark.parametrize('kind', ['steep', 'nan'])
def test_skipped_batch_leaves_no_trace(tmp_path, kind):
    """Weights, momentum and statistics are those of a training without the batch's update."""
    watch = Weights()
    train(tmp_path, watch, dataset={kind: (5, )}, default_hooks=hooks(action='skip'))
    assert [event['epoch'] for event in events(tmp_path)] == [1, 2, 3]
    assert all('clip_5' in event['clips'][0] for event in events(tmp_path))
    assert all(torch.isfinite(value).all() for value in all_weights(tmp_path).values())
    for event in events(tmp_path):
        before, after = watch.after[event['iter'] - 2], watch.after[event['iter'] - 1]
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_skipping_nan_gradients_for_ever_is_stopped(tmp_path):
    with pytest.raises(InvalidLossError, match='Training stops after 3 invalid batches in a row'):
        train(tmp_path, dataset=dict(steep=tuple(range(12))), default_hooks=hooks(action='skip', max_skips=3))
    assert [event['action'] for event in events(tmp_path)] == ['skip', 'skip', 'stop']


def test_nan_gradient_inside_an_accumulated_group(tmp_path):
    """The first of three batches of a group is named, not the last one, and the rhythm is kept."""
    watch = Weights()
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01), accumulative_counts=3)
    train(tmp_path, watch, epochs=1, dataset=dict(steep=(5, )), default_hooks=hooks(action='skip'),
          optim_wrapper=wrapper)
    event, = events(tmp_path)
    assert 'clip_5' in event['clips'][0]
    # A group keeps what comes after the clip: it has nothing to update with where the clip is its last.
    position = event['iter'] - 1
    assert watch.updates() == [last for last in (2, 5) if last != position]
    assert all(torch.isfinite(value).all() for value in watch.after[-1].values())


def test_a_record_that_cannot_be_written_does_not_stop_the_training(tmp_path):
    """A link to /dev/full stands for a full disk."""
    if not Path('/dev/full').exists():
        pytest.skip('needs /dev/full')
    (tmp_path / 'invalid_loss.jsonl').symlink_to('/dev/full')
    runner = train(tmp_path, dataset=dict(poisoned=(5, )), default_hooks=hooks(action='skip'), log_level='WARNING')
    assert runner.iter == 18
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert log.count('invalid_loss.jsonl could not be written ([Errno 28] No space left on device): the run goes') == 1


def test_gradient_accumulation_keeps_its_rhythm(tmp_path):
    """Iterations 0-5 in pairs: weights change after 1, 3, 5 even when one of a pair is skipped."""
    watch = Weights()
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01), accumulative_counts=2)
    train(tmp_path, watch, epochs=1, dataset=POISON, default_hooks=hooks(action='skip'), optim_wrapper=wrapper)
    assert watch.updates() == [1, 3, 5]


def test_valid_training_is_not_changed(tmp_path):
    train(tmp_path / 'a', default_hooks=hooks())
    without = hooks()
    without.pop('invalid_loss')
    runner = train(tmp_path / 'b', default_hooks=without)
    assert_same_weights(tmp_path / 'a', tmp_path / 'b')
    assert not {'update_params', 'backward'} & vars(runner.optim_wrapper).keys()


def test_clip_names():
    class Sample:
        video_id = 'clip_a'

    class Image:
        img_path = 'a.png'
    assert clip_names(dict(inputs=[], data_samples=[Sample(), Image(), object()])) == ['clip_a', 'a.png', 'unknown']
    assert clip_names([1, 2]) == []
