import os
import shutil

import pytest
import torch

from mmavs.utils.resume import checkpoint_defect, checkpoint_step, find_resume_checkpoint

GOOD = dict(meta=dict(iter=1), state_dict=dict(a=torch.ones(100)), optimizer=dict(), message_hub=dict())


class Bomb:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path, )


def save(path, content=GOOD):
    torch.save(content, path)
    return path


@pytest.mark.parametrize(('name', 'step'), [
    ('epoch_12.pth', (12, )), ('epoch_12_iter_3070.pth', (12, 3070)), ('iter_500.pth', (500, )),
    ('best_avs_J_epoch_3.pth', ()), ('epoch_12-0a1b2c3d.pth', ()), ('model.pth', ()), ('.epoch_3.pth', ())])
def test_step_from_the_name(name, step):
    assert checkpoint_step(name) == step


def test_newest_is_the_highest_step_whatever_the_times_are(tmp_path):
    names = ['epoch_9.pth', 'epoch_10.pth', 'epoch_10_iter_105.pth', 'epoch_10_iter_98.pth']
    for age, name in enumerate(names):
        os.utime(save(tmp_path / name), (1000 - age, 1000 - age))
    save(tmp_path / 'best_x_epoch_11.pth')
    for expected in ('epoch_10_iter_105.pth', 'epoch_10_iter_98.pth', 'epoch_10.pth', 'epoch_9.pth'):
        choice = find_resume_checkpoint(tmp_path)
        assert choice.path == tmp_path / expected
        assert choice.passed_over == []
        choice.path.unlink()
    assert find_resume_checkpoint(tmp_path) == (None, [])


def test_folder_of_the_last_checkpoint_is_searched(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'out').mkdir()
    save(tmp_path / 'out' / 'epoch_2.pth')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'out' / 'epoch_2.pth'))
    assert find_resume_checkpoint(tmp_path / 'run').path == tmp_path / 'out' / 'epoch_2.pth'


@pytest.mark.parametrize('text', ['', 'gone/epoch_2.pth'])
def test_useless_last_checkpoint_file_does_not_matter(tmp_path, text):
    save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_text(text)
    assert find_resume_checkpoint(tmp_path).path == tmp_path / 'epoch_1.pth'


def test_missing_folder_has_nothing(tmp_path):
    assert find_resume_checkpoint(tmp_path / 'none') == (None, [])


def test_passed_over_files_are_named_newest_first(tmp_path):
    save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_2.pth').write_bytes(b'')
    (tmp_path / 'epoch_3.pth').write_bytes((tmp_path / 'epoch_1.pth').read_bytes()[:-50])
    choice = find_resume_checkpoint(tmp_path)
    assert choice.path == tmp_path / 'epoch_1.pth'
    assert choice.passed_over == [(tmp_path / 'epoch_3.pth', 'it is truncated or no checkpoint'),
                                  (tmp_path / 'epoch_2.pth', 'it is empty')]


def test_every_flipped_byte_of_the_weights_is_found(tmp_path):
    path = save(tmp_path / 'epoch_1.pth')
    assert checkpoint_defect(path) is None
    data = path.read_bytes()
    start = data.index(torch.ones(100).numpy().tobytes())
    for offset in (0, 199, 399):
        changed = bytearray(data)
        changed[start + offset] ^= 0x10
        path.write_bytes(bytes(changed))
        assert 'content is damaged (checksum of ' in checkpoint_defect(path)


def test_any_truncation_is_found(tmp_path):
    path = save(tmp_path / 'epoch_1.pth')
    data = path.read_bytes()
    for length in range(0, len(data) - 1, len(data) // 40):
        path.write_bytes(data[:length])
        assert checkpoint_defect(path) is not None


def test_what_resuming_needs_must_be_there(tmp_path):
    weights = save(tmp_path / 'a.pth', dict(meta={}, state_dict={}))
    assert checkpoint_defect(weights) == 'it lacks optimizer, message_hub, so training cannot resume from it'
    assert checkpoint_defect(save(tmp_path / 'b.pth', torch.ones(2))).startswith('it lacks meta, state_dict')


def test_malicious_file_is_passed_over_and_runs_nothing(tmp_path):
    path = save(tmp_path / 'epoch_1.pth', dict(GOOD, extra=Bomb(tmp_path / 'exploded')))
    assert checkpoint_defect(path).endswith('pass --trust-checkpoint')
    assert not (tmp_path / 'exploded').exists()
    assert checkpoint_defect(path, trust=True) is None
    assert (tmp_path / 'exploded').is_dir()


def test_file_that_vanishes_or_is_a_folder(tmp_path):
    assert 'No such file' in checkpoint_defect(tmp_path / 'none.pth')
    (tmp_path / 'epoch_1.pth').mkdir()
    choice = find_resume_checkpoint(tmp_path)
    assert choice.path is None
    assert choice.passed_over[0][0] == tmp_path / 'epoch_1.pth'
    shutil.rmtree(tmp_path / 'epoch_1.pth')
