import json

import pytest
import torch
from mmengine.hooks import Hook

from mmavs.engine.hooks import InvalidLossError, InvalidLossHook
from mmavs.engine.hooks.invalid_loss_hook import clip_names
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
    """Weights after each iteration."""

    def __init__(self) -> None:
        self.after: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.after.append({key: value.clone() for key, value in runner.model.named_parameters()})


@pytest.mark.parametrize(('options', 'message'), [
    (dict(action='ignore'), "action='ignore' of InvalidLossHook must be 'stop' or 'skip'"),
    (dict(max_skips=0), 'max_skips=0 of InvalidLossHook must be at least 1')])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InvalidLossHook(**options)


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


def test_infinite_loss_counts_as_invalid():
    hook = InvalidLossHook()
    assert hook._is_valid(torch.tensor(1e30))
    assert not hook._is_valid(torch.tensor(float('inf')))
    assert not hook._is_valid(torch.tensor(float('nan')))


def test_gradient_accumulation_keeps_its_rhythm(tmp_path):
    """Iterations 0-5 in pairs: weights change after 1, 3, 5 even when one of a pair is skipped."""
    watch = Weights()
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01), accumulative_counts=2)
    train(tmp_path, watch, epochs=1, dataset=POISON, default_hooks=hooks(action='skip'), optim_wrapper=wrapper)
    changed = [i for i in range(1, 6) if any(not torch.equal(watch.after[i][key], watch.after[i - 1][key])
                                             for key in watch.after[0])]
    assert changed == [1, 3, 5]


def test_valid_training_is_not_changed(tmp_path):
    train(tmp_path / 'a', default_hooks=hooks())
    without = hooks()
    without.pop('invalid_loss')
    runner = train(tmp_path / 'b', default_hooks=without)
    assert_same_weights(tmp_path / 'a', tmp_path / 'b')
    assert 'update_params' not in vars(runner.optim_wrapper)


def test_clip_names():
    class Sample:
        video_id = 'clip_a'

    class Image:
        img_path = 'a.png'
    assert clip_names(dict(inputs=[], data_samples=[Sample(), Image(), object()])) == ['clip_a', 'a.png', 'unknown']
    assert clip_names([1, 2]) == []
