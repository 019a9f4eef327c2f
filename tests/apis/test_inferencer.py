import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.infer import BaseInferencer
from PIL import Image

from mmavs.apis import AVSInferencer, ClipPlan, MediaError, make_source
from mmavs.apis.inferencer import _free_name, _limited
from mmavs.apis.stage_timer import StageTimer
from mmavs.registry import INFERENCERS
from mmavs.structures import AVDataSample, avss_palette

from .media import picture, tone
from .stand_in import BLUE_CLASS, config


def blue(index, height=48, width=64):
    """Where the square of picture ``index`` is."""
    mask = np.zeros((height, width), bool)
    mask[height // 3:height // 3 + 12, 4 + index % 10 * 4:][:, :12] = True
    return mask


def overlap(mask, expected):
    mask = np.asarray(mask) > 0
    return (mask & expected).sum() / (mask | expected).sum()


def test_registered_on_mmengine():
    assert INFERENCERS.get('AVSInferencer') is AVSInferencer
    assert issubclass(AVSInferencer, BaseInferencer)


def test_film(inferencer, film):
    sample, = inferencer(film)
    assert isinstance(sample, AVDataSample)
    assert sample.video_id == 'clip'
    assert sample.seconds == [k + 0.9375 for k in range(7)]
    assert sample.pred_sem_seg.data.shape == sample.pred_scores.data.shape == (7, 48, 64)
    assert sample.pred_sem_seg.data.dtype == torch.uint8
    assert set(np.round(np.unique(sample.pred_scores.data), 6)) == {np.float32(0.1), np.float32(0.9)}
    for second in range(7):
        assert overlap(sample.pred_sem_seg.data[second], blue(10 * second + 9)) > 0.6
    # Seven seconds: one clip of five, and the last five.
    assert [batch['clip_lengths'] for batch in inferencer.model.batches] == [[5], [5]]
    assert inferencer.model.batches[0]['img'].shape == (5, 3, 32, 32)


def test_each_frame_hears_its_own_second(inferencer, film):
    inferencer(film)
    audio = inferencer.model.batches[1]['audio']
    assert audio.shape == (5, 1, 96, 64)
    # The tone rises 80 Hz a second: the loudest mel band does not fall.
    bands = audio.mean(dim=2)[:, 0].argmax(dim=1)
    assert (bands.diff() >= 0).all()
    assert bands[-1] > bands[0]


def test_folder_and_arrays_give_what_the_film_gives(inferencer, tmp_path):
    frames = np.stack([picture(10 * second + 9) for second in range(5)])
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f'{index}.png'), frame[..., ::-1])
    samples = inferencer([(frames, tone(5, 16000)[0], 16000), (frames, tone(5, 16000).T, 16000)])
    import soundfile
    soundfile.write(tmp_path / 'sound.wav', tone(5, 16000)[0], 16000, subtype='FLOAT')
    samples += inferencer(str(tmp_path))
    assert [sample.video_id for sample in samples] == ['clip_0', 'clip_1', tmp_path.name]
    assert torch.equal(samples[0].pred_scores.data, samples[2].pred_scores.data)
    first, second, third = (batch['audio'] for batch in inferencer.model.batches)
    assert torch.equal(first, second)
    assert torch.allclose(first, third, atol=1e-6)


def test_files_in_out_dir(inferencer, film, tmp_path):
    sample, again = inferencer([film, film], out_dir=tmp_path)
    for folder in ('clip', 'clip_2'):
        written = {path.relative_to(tmp_path / folder).as_posix() for path in (tmp_path / folder).rglob('*.png')}
        assert written == {f'{kind}/{index}.png' for kind in ('masks', 'overlays') for index in range(7)}
    mask = np.array(Image.open(tmp_path / 'clip' / 'masks' / '3.png'))
    assert np.array_equal(mask, sample.pred_sem_seg.data[3].numpy() * 255)
    drawn = cv2.imread(str(tmp_path / 'clip' / 'overlays' / '3.png'))[..., ::-1].astype(int)
    plain = list(make_source(film).frames())[3][1].astype(int)
    changed = np.abs(drawn - plain).max(axis=2) > 0
    # A dark line of one pixel runs around the mask, a white one inside.
    assert np.array_equal(changed, cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
    assert np.abs(drawn - (plain + np.array([255, 190, 11])) / 2)[inner].max() <= 1
    assert (drawn[(mask > 0) & ~inner] == 255).all()
    assert torch.equal(sample.pred_sem_seg.data, again.pred_sem_seg.data)


def test_classes(class_inferencer, film, tmp_path):
    sample, = class_inferencer(film, out_dir=tmp_path, overlap=2)
    assert 'pred_scores' not in sample
    assert set(np.unique(sample.pred_sem_seg.data)) == {0, BLUE_CLASS}
    written = Image.open(tmp_path / 'clip' / 'masks' / '0.png')
    assert np.array_equal(np.array(written), sample.pred_sem_seg.data[0])
    assert written.getpalette()[3 * BLUE_CLASS:][:3] == avss_palette(71)[BLUE_CLASS].tolist()


def test_clip_length_overlap_rate_and_batches(inferencer, film):
    assert [len(sample.seconds) for sample in inferencer(film, clip_seconds=10)] == [7]
    inferencer(film, clip_seconds=3, overlap=1)
    inferencer(film, fps=2, batch_size=3)
    assert [batch['clip_lengths'] for batch in inferencer.model.batches] == [
        [7], [3], [3], [3], [5, 5, 5], [5]]


def test_result_does_not_depend_on_the_batch_size(inferencer, film):
    one, three = (inferencer(film, fps=2, overlap=1, batch_size=size)[0] for size in (1, 3))
    assert torch.equal(one.pred_scores.data, three.pred_scores.data)


def test_stream_gives_instants_before_the_film_is_read(inferencer, film):
    stream = inferencer.stream(make_source(film), ClipPlan(2), max_side=32)
    first = next(stream)
    assert len(inferencer.model.batches) == 1
    assert first.scores.shape == (24, 32)
    assert [first.index, *(pred.index for pred in stream)] == list(range(7))


def test_stages_are_timed(inferencer, film):
    timer = StageTimer()
    list(inferencer.stream(make_source(film), timer=timer))
    assert set(timer.seconds) == {'decode', 'log-mel', 'prepare', 'network'}
    assert all(seconds > 0 for seconds in timer.seconds.values())


def test_film_without_sound(inferencer, silent_film):
    with pytest.raises(MediaError, match='no audio stream'):
        inferencer(silent_film)
    sample, = inferencer(silent_film, audio='silence')
    assert sample.pred_sem_seg.data.shape == (2, 48, 64)
    assert torch.allclose(inferencer.model.batches[0]['audio'], torch.tensor(0.01).log())


def test_wrong_options(inferencer, film):
    with pytest.raises(ValueError, match='clip overlap=5'):
        inferencer(film, overlap=5)
    for size in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f'batch_size={size} must be a whole number of clips, 1 or more'):
            inferencer(film, batch_size=size)
    with pytest.raises(ValueError, match='fps=0'):
        inferencer(film, fps=0)
    with pytest.raises(TypeError, match='int is no input'):
        inferencer([film, 3])


def test_config_file_and_weights(tmp_path, film, inferencer):
    path = tmp_path / 'config.py'
    config().dump(path)
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'w.pth')
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        loaded = AVSInferencer(Path(path), tmp_path / 'w.pth', device='cpu')
    assert torch.equal(loaded.model.decode_head.weight, inferencer.model.decode_head.weight)
    assert not loaded.model.training
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        AVSInferencer(path, tmp_path / 'none.pth')


def test_random_weights_are_told():
    with pytest.warns(UserWarning, match='the model is random, and so are its masks'):
        AVSInferencer(config())


def test_a_config_is_always_needed(tmp_path):
    with pytest.raises(ValueError, match='give a config file or a model name'):
        AVSInferencer(None, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match="'pvt_ms4' is neither a config file nor a known model"):
        AVSInferencer('pvt_ms4')


def test_equal_names_and_limited_sizes():
    taken = set()
    assert [_free_name('a', taken) for _ in range(3)] == ['a', 'a_2', 'a_3']
    assert _limited((1080, 1920), 960) == (540, 960)
    assert _limited((1080, 1920), None) == (1080, 1920)
    assert _limited((20, 10), 960) == (20, 10)


def test_film_with_a_wrong_suffix(inferencer, film, tmp_path):
    shutil.copy(film, tmp_path / 'clip.jpg')
    assert len(inferencer(tmp_path / 'clip.jpg')[0].seconds) == 7


def test_real_model_predicts_what_it_predicts_on_a_dataset_item(tmp_path):
    import soundfile
    from mmengine.config import Config
    from mmengine.dataset import Compose, pseudo_collate

    root = Path(__file__).resolve().parents[2]
    cfg = Config.fromfile(root / 'configs' / 'avs_mamba' / 'tiny_shapes.py')
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        inferencer = AVSInferencer(cfg, device='cpu')
    paths = [str(tmp_path / f'{index}.png') for index in range(2)]
    for index, path in enumerate(paths):
        cv2.imwrite(path, picture(index)[..., ::-1])
    soundfile.write(tmp_path / 'sound.wav', tone(2, 16000)[0], 16000)
    sample, = inferencer(tmp_path)

    item = Compose(cfg.test_pipeline)(dict(img_path=paths, seg_map_path=None, audio_path=str(tmp_path / 'sound.wav'),
                                           video_id='clip'))
    with torch.no_grad():
        expected, = inferencer.model.test_step(pseudo_collate([item]))
    assert sample.pred_scores.data.std() > 0
    assert torch.allclose(sample.pred_scores.data, expected.pred_scores.data, atol=1e-5)
    assert torch.equal(sample.pred_sem_seg.data, expected.pred_sem_seg.data)
