import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmavs.models.data_preprocessor import AVDataPreprocessor
from mmavs.registry import MODELS
from mmavs.structures import AVDataSample

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)


def clip(num_frames: int, name: str = 'a', size: tuple[int, int] = (4, 6), examples: int | None = None) -> dict:
    examples = num_frames if examples is None else examples
    return dict(
        inputs=dict(img=torch.randint(0, 256, (num_frames, 3, *size), dtype=torch.uint8),
                    audio=torch.randn(examples, 1, 96, 64)),
        data_samples=AVDataSample(metainfo=dict(video_id=name)))


def run(*clips: dict, **settings) -> dict:
    return AVDataPreprocessor(mean=MEAN, std=STD, **settings)(pseudo_collate(list(clips)))


def test_clips_of_different_length_stand_one_after_the_other():
    first, second = clip(5, 'a'), clip(2, 'b')
    out = run(first, second)
    assert out['inputs']['img'].shape == (7, 3, 4, 6)
    assert out['inputs']['audio'].shape == (7, 1, 96, 64)
    assert out['inputs']['clip_lengths'] == [5, 2]
    assert all(type(length) is int for length in out['inputs']['clip_lengths'])
    assert torch.equal(out['inputs']['audio'][5:], second['inputs']['audio'])
    assert [sample.video_id for sample in out['data_samples']] == ['a', 'b']


def test_bgr_becomes_rgb_and_is_normalised_in_the_order_of_the_model():
    sample = clip(1)
    sample['inputs']['img'][:] = torch.tensor([50, 60, 70], dtype=torch.uint8).view(1, 3, 1, 1)
    image = run(sample)['inputs']['img']
    assert image.dtype == torch.float32
    assert image[0, :, 0, 0].tolist() == [(70 - 10) / 2, (60 - 20) / 4, (50 - 30) / 5]


def test_bgr_to_rgb_can_be_switched_off():
    sample = clip(1)
    sample['inputs']['img'][:] = torch.tensor([50, 60, 70], dtype=torch.uint8).view(1, 3, 1, 1)
    image = run(sample, bgr_to_rgb=False)['inputs']['img']
    assert image[0, :, 0, 0].tolist() == [(50 - 10) / 2, (60 - 20) / 4, (70 - 30) / 5]


def test_a_clip_is_the_same_alone_and_in_a_batch():
    first, second = clip(5), clip(10)
    alone = run(second)['inputs']
    together = run(first, second)['inputs']
    assert torch.equal(alone['img'], together['img'][5:])
    assert torch.equal(alone['audio'], together['audio'][5:])


def test_inference_without_data_samples():
    inputs = dict(img=[torch.zeros(2, 3, 4, 4, dtype=torch.uint8)], audio=[torch.zeros(2, 1, 96, 64).double()])
    out = AVDataPreprocessor()(dict(inputs=inputs))
    assert out['data_samples'] is None
    assert out['inputs']['audio'].dtype == torch.float32
    # ImageNet's mean and deviation of red.
    assert out['inputs']['img'][0, 0, 0, 0].item() == pytest.approx(-123.675 / 58.395)


def test_it_has_no_state_to_load_and_is_registered():
    built = MODELS.build(dict(type='mmavs.AVDataPreprocessor', mean=MEAN, std=STD))
    assert isinstance(built, AVDataPreprocessor)
    assert list(built.state_dict()) == []


def test_frames_of_unequal_size_name_both_clips_and_the_cure():
    with pytest.raises(ValueError, match=r"clip 'a' has \(4, 6\), clip 'b' has \(8, 6\).*ClipResize"):
        run(clip(2, 'a'), clip(2, 'b', size=(8, 6)))


def test_as_many_examples_as_frames():
    with pytest.raises(ValueError, match="clip 'b' has 5 frames and 4 log-mel examples"):
        run(clip(2, 'a'), clip(5, 'b', examples=4))


@pytest.mark.parametrize(('key', 'maker'), [('img', 'LoadClipFrames'), ('audio', 'LogMelSpectrogram')])
def test_a_missing_input_names_the_transform(key, maker):
    sample = clip(2)
    del sample['inputs'][key]
    with pytest.raises(KeyError, match=maker):
        run(sample)


@pytest.mark.parametrize(('key', 'shape', 'message'), [
    ('img', (3, 4, 6), r'frames of clip .a. have shape \(3, 4, 6\)'),
    ('img', (0, 3, 4, 6), r'frames of clip .a. have shape \(0, 3, 4, 6\)'),
    ('img', (2, 1, 4, 6), r'expected \(T, 3, H, W\)'),
    ('audio', (2, 96, 64), r'audio of clip .a. has shape \(2, 96, 64\)'),
    ('audio', (2, 1, 64, 96), r'expected \(T, 1, 96, 64\)')])
def test_wrong_shapes_are_named(key, shape, message):
    sample = clip(2)
    sample['inputs'][key] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        run(sample)


def test_a_clip_without_a_name_is_counted():
    sample = clip(2, examples=3)
    with pytest.raises(ValueError, match='clip 0 of the batch has 2 frames and 3'):
        AVDataPreprocessor()(dict(inputs={key: [value] for key, value in sample['inputs'].items()}))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match='0 clips of frames and 0 of audio'):
        AVDataPreprocessor()(dict(inputs=dict(img=[], audio=[])))


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(mean=(1, 2)), r'mean of AVDataPreprocessor \(one per channel\) must be 3 numbers, but got \(1, 2\)'),
    (dict(mean=128), 'mean of AVDataPreprocessor .* must be 3 numbers, but got 128'),
    (dict(std=('1', 1, 1)), 'std of AVDataPreprocessor .* must be 3 numbers'),
    (dict(std=(1, 2, 3, 4)), 'std of AVDataPreprocessor .* must be 3 numbers'),
    (dict(std=(1, 0, 1)), 'std must be above 0')])
def test_settings_are_checked_at_build(settings, message):
    with pytest.raises(ValueError, match=message):
        AVDataPreprocessor(**settings)
