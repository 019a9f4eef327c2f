from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mmengine.config import Config
from PIL import Image

from mmavs.models import AVDataPreprocessor
from mmavs.utils.building import build_dataset
from tests.tools.loading import load_tool

tool = load_tool('analysis_tools/browse_dataset.py')
REPLACED = '''
train_dataloader['dataset']['pipeline'].insert(3, dict(type='mmavs.ReplaceSound', kind='silence'))
'''


def test_sheet_and_sound_of_every_clip(small_config, data_root, tmp_path, capsys):
    assert tool.main([small_config, '--split', 'train', '--num', '5', '--output-dir', str(tmp_path)]) == 0
    dataset = build_dataset(Config.fromfile(small_config), 'train')
    names = [f'{index:05d}_{dataset.get_data_info(index)["video_id"]}' for index in range(2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f'{name}{suffix}' for name in names for suffix in ('.png', '.wav'))
    own = soundfile.read(dataset.get_data_info(0)['audio_path'])[0]
    written, rate = soundfile.read(tmp_path / f'{names[0]}.wav')
    assert (written.shape, rate) == ((5 * 16000, ), 16000)
    assert written == pytest.approx(own[:len(written)], abs=1e-4)
    assert 'Wrote 2 clips' in capsys.readouterr().out


def test_sound_is_that_of_the_network(small_config, tmp_path):
    path = tmp_path / 'silenced.py'
    path.write_text(Path(small_config).read_text() + REPLACED)
    assert tool.main([str(path), '--num', '1', '--output-dir', str(tmp_path)]) == 0
    written, _ = soundfile.read(next(tmp_path.glob('*.wav')))
    assert written.shape == (5 * 16000, )
    assert (written == 0).all()


def test_frames_are_those_of_the_network_after_augmentation(small_config, tmp_path):
    # The training pipeline of the config flips every clip: the sheet of --split train shows the mirrored frame.
    assert tool.main([small_config, '--split', 'train', '--num', '1', '--output-dir', str(tmp_path)]) == 0
    sheet = np.asarray(Image.open(next(tmp_path.glob('*.png'))).convert('RGB')).astype(float)
    item = build_dataset(Config.fromfile(small_config), 'train')[0]
    frame = item['inputs']['img'][0][[2, 1, 0]].permute(1, 2, 0).numpy()
    cell = np.asarray(Image.fromarray(frame).resize((200, 200), Image.BOX)).astype(float)
    left = next(x for x in range(400) if np.abs(sheet[150, x:x + 200] - cell[74]).mean() < 12)
    shown = sheet[76:276, left:left + 200]
    assert np.abs(shown - cell).mean() < 12 < np.abs(shown - cell[:, ::-1]).mean()


def test_denormalised_gives_back_the_rgb_frame():
    preprocessor = AVDataPreprocessor()
    img = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    batch = preprocessor(dict(inputs=dict(img=[img], audio=[torch.zeros(2, 1, 96, 64)]), data_samples=None))
    pictures = tool.denormalised(batch['inputs']['img'], preprocessor)
    assert (np.stack(pictures) == img[:, [2, 1, 0]].permute(0, 2, 3, 1).numpy()).all()


def test_repeats_are_numbered_and_start_is_respected(small_config, tmp_path):
    assert tool.main([small_config, '--num', '1', '--start', '1', '--repeat', '2', '--output-dir', str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.glob('*.png'))
    assert [name[:6] for name in names] == ['00001_', '00001_']
    assert [name[-6:] for name in names] == ['_0.png', '_1.png']
    assert sorted(path.name[-6:] for path in tmp_path.glob('*.wav')) == ['_0.wav', '_1.wav']


@pytest.mark.parametrize(('arguments', 'message'), [
    (['gone.py'], 'No config file gone.py'),
    (['{config}', '--num', '0'], '--num 0 must be at least 1.'),
    (['{config}', '--start', '9'], '--start 9: the train split has clips 0 to 1.'),
    (['{config}', '--cfg-options', 'train_dataloader.dataset.data_root=nowhere'], 'nowhere'),
])
def test_bad_input_is_one_sentence(arguments, message, small_config, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([argument.format(config=small_config) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
