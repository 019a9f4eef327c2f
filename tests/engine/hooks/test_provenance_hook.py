import pytest
import torch

from tests.engine.toy import SignalAt, train

pytestmark = pytest.mark.usefixtures('toy_runs')


def provenance(path) -> dict:
    return torch.load(path, weights_only=False)['meta']['provenance']


def test_record_stands_in_the_log_and_in_every_checkpoint(tmp_path):
    train(tmp_path, epochs=1, log_level='INFO')
    record = provenance(tmp_path / 'epoch_1.pth')
    assert record == provenance(tmp_path / 'best_toy_error_epoch_1.pth')
    assert record['seed'] == 7
    assert record['deterministic'] is False
    assert record['processes'] == 1
    assert record['torch'] == torch.__version__
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'Provenance:\n    seed: 7\n    deterministic: False\n    processes: 1\n' in log
    for key in ('git', 'scan_backend', 'command', 'mmengine'):
        assert f'    {key}: {record[key]}' in log


def test_drawn_seed_is_recorded(tmp_path):
    runner = train(tmp_path, epochs=1, randomness=dict(seed=None))
    assert provenance(tmp_path / 'epoch_1.pth')['seed'] == runner.seed
    assert isinstance(runner.seed, int)


def test_resumed_run_keeps_the_record_of_the_one_before(tmp_path):
    for iteration in (2, 8):
        with pytest.raises(SystemExit):
            train(tmp_path, SignalAt(iteration), resume=True)
    train(tmp_path, resume=True)
    record = provenance(tmp_path / 'epoch_3.pth')
    assert record['resumed_from']['seed'] == 7
    assert 'resumed_from' not in record['resumed_from']
