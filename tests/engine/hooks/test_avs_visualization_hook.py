import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.visualization import SegLocalVisualizer
from PIL import Image

from mmavs.engine.hooks import avs_visualization_hook
from mmavs.engine.hooks.avs_visualization_hook import AVSVisualizationHook, clip_frames, file_name, frame_scores
from mmavs.evaluation.metrics import AVSMetric
from mmavs.registry import HOOKS
from mmavs.visualization import AVSLocalVisualizer, write_picture

T, SIZE = 3, 16


class Loop:
    def __init__(self):
        self.evaluator = type('Evaluator', (), {})()
        self.evaluator.metrics = [AVSMetric()]


class StandInRunner:
    """What the hook reads from a runner."""

    def __init__(self, work_dir):
        self.work_dir, self.epoch = str(work_dir), 4
        self.visualizer = AVSLocalVisualizer(name='hook')
        self.val_loop, self.test_loop = Loop(), Loop()


def clip(video_id, tmp_path, half=True):
    sample = BaseDataElement(metainfo=dict(video_id=video_id, subset='ms3', split='test', category=None))
    truth = torch.zeros(T, SIZE, SIZE, dtype=torch.uint8)
    truth[:, :8] = 1
    truth[2] = 255
    scores = torch.zeros(T, SIZE, SIZE)
    scores[:, :4 if half else 8] = 1.0
    sample.gt_sem_seg = PixelData(data=truth)
    sample.pred_scores = PixelData(data=scores)
    sample.pred_sem_seg = PixelData(data=(scores > 0.5).to(torch.uint8))
    paths = [tmp_path / 'frames' / f'{video_id}_{second}.png' for second in range(T)]
    for second, path in enumerate(paths):
        write_picture(path, np.full((SIZE, SIZE, 3), 50 * second, np.uint8))
    sample.set_metainfo(dict(img_path=[str(path) for path in paths]))
    return sample


def sound(sample):
    return torch.rand(T, 1, 96, 64, generator=torch.Generator().manual_seed(ord(sample.video_id[-1])))


def batch(samples):
    return dict(inputs=dict(img=[torch.zeros(T, 3, SIZE, SIZE, dtype=torch.uint8)] * len(samples),
                            audio=[sound(sample) for sample in samples]), data_samples=samples)


def process(loop, samples):
    loop.evaluator.metrics[0].process(None, [sample.to_dict() for sample in samples])


def run_test(hook, runner, samples, per_batch=1):
    hook.before_test_epoch(runner)
    for index in range(0, len(samples), per_batch):
        part = samples[index:index + per_batch]
        process(runner.test_loop, part)
        hook.after_test_iter(runner, index // per_batch, batch(part), part)


def names(folder):
    return sorted(path.name for path in folder.glob('*.png'))


def test_one_sheet_per_clip_whatever_the_batch_size(tmp_path):
    samples = [clip(f'v{index}', tmp_path) for index in range(4)]
    run_test(AVSVisualizationHook(draw=True, show_dir=str(tmp_path / 'a')), StandInRunner(tmp_path), samples)
    run_test(AVSVisualizationHook(draw=True, show_dir=str(tmp_path / 'b')), StandInRunner(tmp_path), samples, 3)
    assert names(tmp_path / 'a') == names(tmp_path / 'b') == ['v0.png', 'v1.png', 'v2.png', 'v3.png']
    for name in names(tmp_path / 'a'):
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_sheet_is_that_of_the_visualiser_with_frames_scores_and_sound(tmp_path):
    runner, sample = StandInRunner(tmp_path), clip('v', tmp_path)
    run_test(AVSVisualizationHook(draw=True, show_dir=str(tmp_path / 'a')), runner, [sample])
    frames = [np.full((SIZE, SIZE, 3), 50 * second, np.uint8) for second in range(T)]
    expected = runner.visualizer.draw_datasample(frames, sample, sound(sample), scores=[50.0, 50.0, None])
    assert (np.asarray(Image.open(tmp_path / 'a' / 'v.png')) == expected).all()


def test_scores_are_those_of_the_metric(tmp_path):
    loop, samples = Loop(), [clip('half', tmp_path), clip('all', tmp_path, half=False)]
    process(loop, samples)
    assert frame_scores(loop.evaluator, samples[0], 2) == pytest.approx([50.0, 50.0, None])
    assert frame_scores(loop.evaluator, samples[1], 2) == pytest.approx([100.0, 100.0, None])
    assert frame_scores(loop.evaluator, samples[0], 1) is None
    loop.evaluator.metrics = []
    assert frame_scores(loop.evaluator, samples[0], 2) is None


def test_nothing_is_drawn_by_default(tmp_path):
    run_test(AVSVisualizationHook(show_dir=str(tmp_path / 'a')), StandInRunner(tmp_path), [clip('v', tmp_path)])
    assert not (tmp_path / 'a').exists()


def test_interval_and_most_clips(tmp_path):
    samples = [clip(f'v{index}', tmp_path) for index in range(6)]
    hook = AVSVisualizationHook(draw=True, interval=2, show_dir=str(tmp_path / 'a'))
    run_test(hook, StandInRunner(tmp_path), samples)
    assert names(tmp_path / 'a') == ['v0.png', 'v2.png', 'v4.png']
    hook = AVSVisualizationHook(draw=True, max_clips=2, show_dir=str(tmp_path / 'b'))
    run_test(hook, StandInRunner(tmp_path), samples, per_batch=3)
    assert names(tmp_path / 'b') == ['v0.png', 'v1.png']


def test_validation_sheets_stand_in_a_folder_per_epoch_and_are_few(tmp_path):
    hook, runner = AVSVisualizationHook(draw=True), StandInRunner(tmp_path)
    samples = [clip(f'v{index}', tmp_path) for index in range(10)]
    for _ in range(2):      # the count starts again with each evaluation
        hook.before_val_epoch(runner)
        process(runner.val_loop, samples)
        hook.after_val_iter(runner, 0, batch(samples), samples)
        assert len(names(tmp_path / 'clips' / 'epoch_4')) == 8
        runner.epoch = 4


def test_ranks_share_the_clips(tmp_path, monkeypatch):
    monkeypatch.setattr(avs_visualization_hook, 'get_world_size', lambda: 2)
    written = []
    for rank in (0, 1):
        monkeypatch.setattr(avs_visualization_hook, 'get_rank', lambda rank=rank: rank)
        hook = AVSVisualizationHook(draw=True, max_clips=3, show_dir=str(tmp_path / str(rank)))
        run_test(hook, StandInRunner(tmp_path), [clip(f'v{index}', tmp_path) for index in range(4)])
        written.append(names(tmp_path / str(rank)))
    assert [len(found) for found in written] == [2, 1]


def test_masks_are_written_in_a_test_without_drawing(tmp_path):
    hook = AVSVisualizationHook(mask_dir=str(tmp_path / 'masks'))
    run_test(hook, StandInRunner(tmp_path), [clip('v', tmp_path)])
    assert names(tmp_path / 'masks' / 'v') == ['0.png', '1.png', '2.png']
    mask = np.asarray(Image.open(tmp_path / 'masks' / 'v' / '0.png'))
    assert mask[:4].min() == 255
    assert mask[4:].max() == 0


def test_clips_without_files_show_the_networks_input_in_rgb():
    img = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    img[0, 0] = 200                                     # blue, as the loaders give BGR
    frames = clip_frames(BaseDataElement(), dict(inputs=dict(img=[img])), 0)
    assert frames[0][0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize(('video_id', 'expected'), [
    ('-abc_1', '-abc_1'), ('a/b\\c', 'a_b_c'), ('../up', '_up'), ('...', 'clip')])
def test_ids_cannot_leave_the_folder(video_id, expected):
    assert file_name(video_id) == expected


def test_registered_and_bad_settings():
    assert HOOKS.build(dict(type='mmavs.AVSVisualizationHook', draw=True)).draw
    with pytest.raises(ValueError, match='interval=0 must be at least 1'):
        AVSVisualizationHook(interval=0)
    with pytest.raises(ValueError, match='max_clips=-1 must not be negative'):
        AVSVisualizationHook(max_clips=-1)


def test_a_visualizer_of_pictures_is_refused_before_the_run(tmp_path):
    runner = StandInRunner(tmp_path)
    AVSVisualizationHook(draw=True).before_run(runner)
    runner.visualizer = SegLocalVisualizer(name='pictures')
    AVSVisualizationHook(draw=False).before_run(runner)
    with pytest.raises(ValueError, match=r"SegLocalVisualizer does not draw clips.*visualizer.type='mmavs.AVSLocalVis"):
        AVSVisualizationHook(draw=True).before_run(runner)
