"""The two main tools, as a user types them, on a small model and generated data."""

import errno
import json
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmavs.engine.launch import is_user_error
from mmavs.registry import DATASETS, MODELS

from .micro import ROOT, generate_data, load_tool, run_tool, write_config

# GroupNorm: BatchNorm's statistics would differ between one process and two.
NO_BATCH_STATISTICS = "\nmodel['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)\n"


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return generate_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory) -> Path:
    """Work folder of two epochs of training; the config lies beside the checkpoints."""
    folder = tmp_path_factory.mktemp('trained')
    run_training(write_config(folder, NO_BATCH_STATISTICS), folder / 'work', data)
    return folder


def run_training(config: Path, work: Path, data: Path, *arguments: object, processes: int = 1) -> str:
    done = run_tool('train.py', config, '--work-dir', work, *arguments, data_root=data, processes=processes)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def run_test(folder: Path, data: Path, out: Path, *arguments: object, processes: int = 1) -> dict:
    done = run_tool('test.py', folder / 'micro.py', folder / 'work' / 'epoch_2.pth', '--work-dir', out.parent / 'test',
                    '--out', out, *arguments, data_root=data, processes=processes)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads(out.read_text()), printed=done.stdout)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=False)['state_dict']


def assert_same_weights(first: Path, second: Path, tolerance: float = 0.0) -> None:
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    worst = max((one[name].double() - two[name].double()).abs().max().item() for name in one if one[name].numel())
    assert worst <= tolerance


def test_training_changes_the_weights_and_keeps_the_best(trained):
    first, last = weights(trained / 'work' / 'epoch_1.pth'), weights(trained / 'work' / 'epoch_2.pth')
    changed = [name for name in first if not torch.equal(first[name], last[name])]
    assert {name.split('.')[0] for name in changed} == {'backbone', 'audio_backbone', 'neck', 'decode_head'}
    assert len(list((trained / 'work').glob('best_avs_J_epoch_*.pth'))) == 1


def test_report_table_and_contact_sheets(trained, data, tmp_path):
    report = run_test(trained, data, tmp_path / 'out.json', '--show-dir', tmp_path / 'sheets')
    assert report['preset'] == 'avsbench'
    assert len(report['clips']) == 3
    # J is the mean over frames; all clips have five.
    mean = sum(clip['J'] for clip in report['clips']) / 3
    assert report['metrics']['avs/J'] == pytest.approx(mean, abs=1e-9)
    assert 'avsbench' in report['printed']
    names = sorted(path.stem for path in (tmp_path / 'sheets').glob('*.png'))
    assert names == sorted(clip['video_id'] for clip in report['clips'])


def test_report_says_what_the_scores_come_from(trained, data, tmp_path):
    report = run_test(trained, data, tmp_path / 'out.json', '--cfg-options', 'randomness.seed=11')
    assert report['checkpoint'] == str(trained / 'work' / 'epoch_2.pth')
    record = report['provenance']
    assert (record['seed'], record['processes'], record['torch']) == (11, 1, torch.__version__)
    assert f'tools/test.py {trained}/micro.py' in record['command']
    for key in ('git', 'scan_backend', 'soxr', 'soundfile', 'PIL', 'cv2', 'mmavs'):
        assert record[key]
    assert report['skipped'] == []


def test_contact_sheets_of_a_config_without_the_hook(trained, data, tmp_path):
    config = tmp_path / 'micro.py'
    config.write_text((trained / 'micro.py').read_text() + "default_hooks['visualization'] = None\n")
    shutil.copytree(trained / 'work', tmp_path / 'work')
    run_test(tmp_path, data, tmp_path / 'test' / 'out.json', '--show-dir', tmp_path / 'sheets')
    assert len(list((tmp_path / 'sheets').glob('*.png'))) == 3


@pytest.mark.parametrize(('tool', 'change', 'sentence'), [
    ('test.py', lambda state: {f'foo.{name}': value for name, value in state.items()},
     'it lacks audio_backbone.embeddings.0.bias, audio_backbone.embeddings.0.weight, audio_backbone.embeddings.2.bias '
     'and'),
    ('analysis_tools/eval_audio_robustness.py', lambda state: dict(state, **{'neck.extra': torch.ones(1)}),
     'it has unknown neck.extra; check that it was trained with this config.')])
def test_a_checkpoint_of_another_model_gives_no_table(trained, data, tmp_path, tool, change, sentence):
    torch.save(dict(state_dict=change(weights(trained / 'work' / 'epoch_2.pth')), meta={}), tmp_path / 'w.pth')
    done = run_tool(tool, trained / 'micro.py', tmp_path / 'w.pth', data_root=data)
    assert done.returncode == 2
    assert '95 %' not in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f'error: {tmp_path}/w.pth does not fit the model: {sentence}')


def test_out_that_cannot_be_written_is_known_before_the_test(trained, data, tmp_path):
    done = run_tool('test.py', trained / 'micro.py', trained / 'work' / 'epoch_2.pth', '--out', tmp_path,
                    data_root=data)
    assert done.returncode == 2
    assert 'System environment' not in done.stdout, 'no runner was built'
    assert done.stderr.strip().splitlines()[-1] == (
        f'error: --out {tmp_path} is a folder; name a file, e.g. {tmp_path}/results.json.')
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file') as error:
        load_tool('test.py').check_writable(tmp_path / 'file' / 'out.json')
    assert is_user_error(error.value)
    load_tool('test.py').check_writable(tmp_path / 'new' / 'out.json')
    assert list((tmp_path / 'new').iterdir()) == []


def test_a_full_disk_keeps_the_former_scores_and_says_so(tmp_path, monkeypatch):
    tool = load_tool('test.py')
    (tmp_path / 'out.json').write_text('former')

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=rf'The scores above could not be written to {tmp_path}/out.json \(No space left '
                                      r'on device\): free space there or give another --out\.$'):
        tool.write_scores([dict(J=1)], str(tmp_path / 'out.json'))
    assert [path.name for path in tmp_path.iterdir()] == ['out.json']
    assert (tmp_path / 'out.json').read_text() == 'former'
    monkeypatch.undo()
    tool.write_scores([dict(J=1)], str(tmp_path / 'out.json'))
    assert json.loads((tmp_path / 'out.json').read_text()) == dict(J=1)
    tool.write_scores([dict(J=1), dict(J=2)], str(tmp_path / 'out.json'))
    assert json.loads((tmp_path / 'out.json').read_text()) == [dict(J=1), dict(J=2)]


def test_scores_do_not_depend_on_batch_size_or_processes(trained, data, tmp_path):
    reports = [
        run_test(trained, data, tmp_path / 'one.json', '--cfg-options', 'test_dataloader.batch_size=1'),
        run_test(trained, data, tmp_path / 'three.json', '--cfg-options', 'test_dataloader.batch_size=3'),
        run_test(trained, data, tmp_path / 'two_processes.json', processes=2),
    ]
    for report in reports[1:]:
        assert report['metrics'] == pytest.approx(reports[0]['metrics'], abs=1e-6, nan_ok=True)
        assert [clip['video_id'] for clip in report['clips']] == [clip['video_id'] for clip in reports[0]['clips']]
        assert [clip['J'] for clip in report['clips']] == pytest.approx(
            [clip['J'] for clip in reports[0]['clips']], abs=1e-6)


def test_exchanged_sound_changes_the_input(trained, data, tmp_path):
    own = run_test(trained, data, tmp_path / 'own.json')
    other = run_test(trained, data, tmp_path / 'other.json', '--cfg-options',
                     'test_dataloader.dataset.sound_of=other_clip')
    assert [clip['video_id'] for clip in own['clips']] == [clip['video_id'] for clip in other['clips']]
    assert own['metrics']['avs/F'] != other['metrics']['avs/F']


def test_resumed_training_is_bit_identical(trained, data, tmp_path):
    config = trained / 'micro.py'
    run_training(config, tmp_path / 'work', data, '--cfg-options', 'train_cfg.max_epochs=1')
    printed = run_training(config, tmp_path / 'work', data, '--resume')
    assert 'epoch_1.pth' in printed
    assert_same_weights(tmp_path / 'work' / 'epoch_2.pth', trained / 'work' / 'epoch_2.pth')


def test_same_seed_gives_the_same_weights(trained, data, tmp_path):
    run_training(trained / 'micro.py', tmp_path / 'work', data, '--cfg-options', 'train_dataloader.num_workers=1')
    assert_same_weights(tmp_path / 'work' / 'epoch_2.pth', trained / 'work' / 'epoch_2.pth')


SGD = ('optim_wrapper.optimizer._delete_=True', 'optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.lr=0.1')


@pytest.mark.parametrize(('optimizer', 'weight_tolerance', 'loss_tolerance', 'score_tolerance'), [
    (SGD, 1e-5, 1e-5, 1e-3), ((), None, 1e-5, 0.05)], ids=['SGD', 'AdamW'])
def test_two_processes_train_as_one_with_the_same_global_batch(trained, data, tmp_path, optimizer, weight_tolerance,
                                                               loss_tolerance, score_tolerance):
    """Four updates. Sums in another order differ in the last bit, which plain descent hands on as it is.

    AdamW, the config's own, divides a gradient by its size: where that is rounding only, two runs may step in opposite
    directions by the whole learning rate (measured: weights up to 1e-3 apart, the loss 1e-6, F 0.0025 points; with
    plain descent weights 1.5e-8, 1.7e-6 on the PyTorch path of the scan, loss and scores 0). Such weights hardly matter
    to the loss, which is compared, and single pixels at the threshold to the scores.
    """
    options = ['--cfg-options', 'randomness.seed=0', *optimizer]
    run_training(trained / 'micro.py', tmp_path / 'one', data, *options)
    run_training(trained / 'micro.py', tmp_path / 'two', data, *options, 'train_dataloader.batch_size=1', processes=2)
    if weight_tolerance is not None:
        assert_same_weights(tmp_path / 'two' / 'epoch_2.pth', tmp_path / 'one' / 'epoch_2.pth', weight_tolerance)
    one, two = (loss_of_first_batch(trained / 'micro.py', tmp_path / folder / 'epoch_2.pth', data)
                for folder in ('one', 'two'))
    assert one == pytest.approx(two, abs=loss_tolerance)
    for name in ('avs/J', 'avs/F'):
        scores = [read_scalars(tmp_path / folder, name) for folder in ('one', 'two')]
        assert len(scores[0]) == 2
        assert scores[0] == pytest.approx(scores[1], abs=score_tolerance)


def loss_of_first_batch(config: Path, checkpoint: Path, data: Path) -> float:
    cfg = Config.fromfile(config)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(weights(checkpoint))
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, data_root=str(data), split='val'))
    batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=False)
    with torch.no_grad():
        return model(**batch, mode='loss')['decode.loss_dice'].item()


def read_scalars(work: Path, name: str) -> list[float]:
    (log,) = work.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [row[name] for row in rows if name in row]


def test_bfloat16_training_stays_finite(data, tmp_path):
    config = write_config(tmp_path)
    printed = run_training(config, tmp_path / 'work', data, '--amp')
    assert 'AutocastOptimWrapper' in printed
    losses = read_scalars(tmp_path / 'work', 'loss')
    assert len(losses) == 4
    assert all(0 < loss < 2 for loss in losses)
    assert all(value.isfinite().all() for value in weights(tmp_path / 'work' / 'epoch_2.pth').values())


def test_bfloat16_trains_the_small_config_as_it_is(tmp_path):
    """All of ``configs/avs_mamba/tiny_shapes.py`` in eight iterations: the loss stays finite and falls."""
    root = generate_data(tmp_path / 'data', train=8, val=1, test=1)
    printed = run_training(ROOT / 'configs' / 'avs_mamba' / 'tiny_shapes.py', tmp_path / 'work', root, '--amp',
                           '--cfg-options', 'train_cfg.max_epochs=4', 'train_cfg.val_interval=4',
                           'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
                           'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False',
                           'default_hooks.logger.interval=1', 'default_hooks.checkpoint.max_keep_ckpts=-1')
    assert "type='mmavs.AutocastOptimWrapper'" in printed
    losses = read_scalars(tmp_path / 'work', 'loss')
    assert len(losses) == 8
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-2:]) < 0.95 * sum(losses[:2])
    first, last = weights(tmp_path / 'work' / 'epoch_1.pth'), weights(tmp_path / 'work' / 'epoch_4.pth')
    assert all(value.isfinite().all() for value in last.values())
    same = [name for name in first if torch.equal(first[name], last[name])]
    assert same == []


@pytest.mark.parametrize(('options', 'sentence'), [
    (['train_dataloader.dataset.data_root=nowhere'],
     "error: data_root 'nowhere' does not exist; set data_root (or the variable MMAVS_DATA_ROOT) to the folder that "
     'holds Multi-sources, or generate a small data set with tools/dataset_tools/make_sounding_shapes.py nowhere '
     '--subset ms3.'),
    (['train_dataloader.dataset.split=trial'],
     "error: AVSBenchDataset: split must be one of ['train', 'val', 'test'], got 'trial'."),
    (['model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint=lost.pth'],
     'error: The pretrained weights of mmseg.ResNet are not at lost.pth. Get them as the README says ("Pretrained '
     "weights\"; for ResNet-50 it is torchvision's ImageNet file). To start from random weights, set "
     'model.backbone.init_cfg=None in the config.'),
    (['model.decode_head.num_classes=3'],
     "error: model.decode_head.num_classes=3 does not fit train_dataloader.dataset.subset='ms3', whose masks hold "
     'sounding or not; set model.decode_head.num_classes=1.'),
], ids=['data root', 'split', 'weights', 'classes'])
def test_mistakes_end_in_one_sentence(data, tmp_path, options, sentence):
    done = run_tool('train.py', write_config(tmp_path), '--work-dir', tmp_path / 'work', '--cfg-options', *options,
                    data_root=data)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == sentence


def test_missing_checkpoint_names_the_path(data, tmp_path):
    done = run_tool('test.py', write_config(tmp_path), tmp_path / 'lost.pth', data_root=data)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1] == (
        f'error: No checkpoint {tmp_path}/lost.pth. tools/train.py writes them to its work folder, here '
        'work_dirs/micro.')


@pytest.mark.parametrize(('flags', 'in_the_config', 'expected'), [
    ([], False, False), ([], True, True), (['--resume'], False, True)])
def test_the_config_may_ask_to_resume_too(tmp_path, monkeypatch, flags, in_the_config, expected):
    config = write_config(tmp_path, f'resume = {in_the_config}\n')
    tool, found = load_tool('train.py'), []
    monkeypatch.setattr(tool, 'build_runner', lambda cfg: found.append(cfg.resume) or SimpleNamespace(train=print))
    tool.main([str(config), *flags])
    assert found == [expected]
