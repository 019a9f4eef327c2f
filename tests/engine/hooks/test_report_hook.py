"""The report hook with stand-ins for the runner; the whole way is tested in tests/tools/test_report.py."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmavs.datasets.transforms import LogMelSpectrogram
from mmavs.engine.hooks import report_hook
from mmavs.engine.hooks.report_hook import ReportHook
from mmavs.evaluation.metrics import AVSMetric
from mmavs.registry import HOOKS
from mmavs.visualization.html_report import media_name

T, SIZE = 3, 16
SOUND = np.linspace(-1.5, 1.5, T * 16000, dtype=np.float32)


class StandInRunner:
    """What the hook reads from a runner."""

    def __init__(self, tmp_path, sound_of='own'):
        self.cfg = type('Config', (), dict(filename='/somewhere/configs/pvt_ms3.py'))()
        self._load_from = '/somewhere/best.pth'
        self.visualizer = type('Visualizer', (), dict(dataset_meta=dict(classes=('background', 'sounding'))))()
        self.warnings = []
        self.logger = type('Logger', (), dict(info=lambda _, text: None, warning=lambda _, text: self.warnings.append(
            text)))()
        metric = AVSMetric()
        evaluator = type('Evaluator', (), dict(metrics=[metric, object()]))()
        self.test_loop = type('Loop', (), dict(evaluator=evaluator))()
        dataset = type('Dataset', (), dict(subset='ms3', split='test', sound_of=sound_of, __len__=lambda _: 2))()
        self.test_dataloader = type('Loader', (), dict(dataset=dataset))()


def clip(video_id, hits=8, sound=None, category='dog'):
    sample = BaseDataElement(metainfo=dict(video_id=video_id, category=category, sound=sound))
    truth = torch.zeros(T, SIZE, SIZE, dtype=torch.uint8)
    truth[:, :8] = 1
    scores = torch.zeros(T, SIZE, SIZE)
    scores[:, :hits] = 1.0
    sample.gt_sem_seg = PixelData(data=truth)
    sample.pred_scores = PixelData(data=scores)
    sample.pred_sem_seg = PixelData(data=(scores > 0.5).to(torch.uint8))
    return sample


def run_test(hook, runner, samples):
    hook.before_test_epoch(runner)
    metric = runner.test_loop.evaluator.metrics[0]
    for index in range(0, len(samples), 2):
        part = samples[index:index + 2]
        batch = dict(inputs=dict(img=[torch.full((T, 3, SIZE, SIZE), 100, dtype=torch.uint8)] * len(part),
                                 audio=[torch.zeros(T, 1, 96, 64)] * len(part)))
        metric.process(None, [sample.to_dict() for sample in part])
        hook.after_test_iter(runner, index // 2, batch, part)
    metric.evaluate(len(samples))
    hook.after_test_epoch(runner, {})


def read_data(folder):
    page = (folder / 'index.html').read_text()
    return page, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_page_has_the_scores_of_the_metric_and_the_files_of_each_clip(tmp_path):
    samples = [clip('half', hits=4, sound=SOUND), clip('all', sound=SOUND), clip('none', hits=0)]
    run_test(ReportHook(out_dir=str(tmp_path / 'report')), StandInRunner(tmp_path), samples)
    page, data = read_data(tmp_path / 'report')
    assert [(item['id'], item['J'], item['category']) for item in data['clips']] == [
        ('all', 100.0, 'dog'), ('half', 50.0, 'dog'), ('none', 0.0, 'dog')]
    assert '<td class="number value">50.00</td>' in page
    for text in ('<h1>pvt_ms3</h1>', '<dd>best.pth</dd>', '<dd>ms3 test</dd>', 'preset avsbench'):
        assert text in page
    assert '/somewhere' not in page
    for item in data['clips']:
        assert item['media']['layers'] == ['frame', 'truth', 'prediction', 'errors']
        folder = tmp_path / 'report' / 'media' / media_name(item['id'])
        assert {'frames.jpg', 'thumbnails.jpg', 'log_mel.jpg'} <= {path.name for path in folder.iterdir()}
        assert (folder / 'sound.wav').is_file() == item['media']['sound'] == (item['id'] != 'none')


def test_classes_have_the_names_and_colours_of_the_dataset(tmp_path):
    runner, hook = StandInRunner(tmp_path), ReportHook(out_dir=str(tmp_path / 'report'))
    runner.visualizer.dataset_meta = dict(classes=('background', 'bell', 'dog'),
                                          palette=[(0, 0, 0), (9, 200, 30), (1, 2, 3)])
    run_test(hook, runner, [clip('v')])
    assert hook._media[0].classes == {'bell': 'rgb(9, 200, 30)'}


def test_sound_is_the_one_that_the_sample_brings(tmp_path):
    run_test(ReportHook(out_dir=str(tmp_path / 'report')), StandInRunner(tmp_path), [clip('v', sound=SOUND)])
    samples, rate = soundfile.read(tmp_path / 'report' / 'media' / media_name('v') / 'sound.wav')
    assert rate == 16000
    assert samples == pytest.approx(SOUND.clip(-1, 1), abs=1e-4)


def test_clips_of_which_only_the_log_mel_is_known_are_counted_once(tmp_path):
    runner = StandInRunner(tmp_path)
    run_test(ReportHook(out_dir=str(tmp_path / 'report')), runner, [clip('v'), clip('w'), clip('x', sound=SOUND)])
    _, data = read_data(tmp_path / 'report')
    assert {item['id']: item['media']['sound'] for item in data['clips']} == dict(v=False, w=False, x=True)
    assert runner.warnings == [
        'Report: 2 of 3 clips are shown without sound: only their log-mels are known.']


@pytest.mark.parametrize('with_sound', [True, False])
def test_the_pipeline_is_asked_for_the_sounds_before_the_test(tmp_path, with_sound):
    runner = StandInRunner(tmp_path)
    step = LogMelSpectrogram()
    runner.test_dataloader.dataset.pipeline = SimpleNamespace(transforms=[step])
    ReportHook(out_dir=str(tmp_path), with_sound=with_sound).before_test_epoch(runner)
    assert step.keep_sound is with_sound


def test_sounds_can_be_left_out(tmp_path):
    run_test(ReportHook(out_dir=str(tmp_path / 'report'), with_sound=False), StandInRunner(tmp_path),
             [clip('v', sound=SOUND)])
    assert not list(tmp_path.glob('report/media/*/sound.wav'))


def test_other_processes_clips_are_on_the_page_once_and_only_the_main_one_writes_it(tmp_path, monkeypatch):
    other = ReportHook(out_dir=str(tmp_path / 'report'))
    monkeypatch.setattr(report_hook, 'is_main_process', lambda: False)
    run_test(other, StandInRunner(tmp_path), [clip('b'), clip('a')])
    assert not (tmp_path / 'report' / 'index.html').exists()
    monkeypatch.setattr(report_hook, 'is_main_process', lambda: True)
    monkeypatch.setattr(report_hook, 'all_gather_object', lambda own: [own, other._media])
    run_test(ReportHook(out_dir=str(tmp_path / 'report')), StandInRunner(tmp_path), [clip('a')])
    _, data = read_data(tmp_path / 'report')
    # The stand-in metric of this process saw only clip a.
    assert [(item['id'], item['J'], item['media'] is not None) for item in data['clips']] == [
        ('a', 100.0, True), ('b', None, True)]


def test_a_second_test_starts_anew_and_exchanged_sound_is_named(tmp_path):
    hook = ReportHook(out_dir=str(tmp_path / 'report'))
    run_test(hook, StandInRunner(tmp_path), [clip('first')])
    run_test(hook, StandInRunner(tmp_path, sound_of='other_clip'), [clip('second')])
    page, data = read_data(tmp_path / 'report')
    assert [item['id'] for item in data['clips']] == ['second']
    assert '<dd>exchanged (other_clip)</dd>' in page


def test_registered_and_bad_settings():
    assert HOOKS.build(dict(type='mmavs.ReportHook', out_dir='x')).frame_width == 640
    with pytest.raises(ValueError, match='frame_width=8 of ReportHook must be at least 16'):
        ReportHook(out_dir='x', frame_width=8)
