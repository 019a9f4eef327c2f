"""Every broken clip is found; strange ones are reported without stopping anything."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmavs.datasets import AVSBenchDataset
from mmavs.datasets.verification import ClipFacts, inspect_clip
from tests.datasets.damage import DAMAGES, RATE, break_clip, log_mel, pickled, sound, tone

FOLDERS = dict(s4='Single-source', ms3='Multi-sources', avss='AVSBench-semantic')


@pytest.fixture
def copy(shapes_root, tmp_path):
    def make(subset: str) -> Path:
        shutil.copytree(shapes_root / FOLDERS[subset], tmp_path / FOLDERS[subset])
        return tmp_path

    return make


def clip_of(root: Path, subset: str, index: int = 1) -> dict:
    return AVSBenchDataset(subset=subset, split='test', data_root=str(root)).get_data_info(index)


def kinds(facts: ClipFacts) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in facts.findings]


@pytest.mark.parametrize('damage', list(DAMAGES)[::3])
def test_damage_is_an_error_that_names_clip_and_file(copy, damage):
    subset = DAMAGES[damage][0]
    root = copy(subset)
    name, path = break_clip(root, damage)
    facts = inspect_clip(clip_of(root, subset), expect_published=False)
    errors = [finding for finding in facts.findings if finding.level == 'error']
    assert len(errors) == 1
    assert (errors[0].clip, errors[0].message.startswith(f'Clip {name!r} (test): ')) == (name, True)
    assert str(path) in errors[0].message
    assert not list(root.rglob('pwned'))


def test_several_damages_are_all_found(copy):
    root = copy('ms3')
    info = clip_of(root, 'ms3')
    for path in [*info['img_path'][1:3], info['seg_map_path'][0], info['audio_path']]:
        Path(path).write_bytes(b'broken')
    facts = inspect_clip(info, expect_published=False)
    assert kinds(facts) == [('error', 'broken frame')] * 2 + [('error', 'broken mask'), ('error', 'broken sound')]
    assert (facts.frames, facts.labelled) == (3, 4)


def test_a_folder_that_is_not_there_is_as_many_broken_files(copy):
    info = clip_of(copy('ms3'), 'ms3')
    shutil.rmtree(Path(info['seg_map_path'][0]).parent)
    assert kinds(inspect_clip(info, expect_published=False)) == [('error', 'broken mask')] * 5


@pytest.mark.parametrize('subset', FOLDERS)
def test_facts_of_a_good_clip(shapes_root, subset):
    facts = inspect_clip(clip_of(shapes_root, subset), expect_published=False)
    assert facts.findings == []
    assert (facts.frames, facts.labelled) == (5, 5)
    assert facts.size == ((64, 85) if subset == 'avss' else (64, 64))
    assert (facts.seconds, facts.rate, facts.channels) == (5.0, RATE, 1)
    assert set(facts.formats) <= ({'index'} if subset == 'avss' else {'L {0, 255}', 'L {0}'})
    assert set(facts.digests) == {'frames', 'sound'}


def test_published_size_and_rate(copy):
    info = clip_of(copy('ms3'), 'ms3')
    sound(tone(rate=44100), rate=44100)(Path(info['audio_path']))
    assert kinds(inspect_clip(info)) == [('warning', 'size of the frames'), ('warning', 'rate of a sound')]
    assert inspect_clip(info, expect_published=False).findings == []


@pytest.mark.parametrize(('values', 'message'), [
    ((0, 200), 'holds the values 200 beside 0'), ((0, 38), 'holds the values 38 beside 0'),
    ((1, 255), 'holds the values 1, 255'), ((0, 1), None), ((1, 1), None), ((0, 255), None)])
def test_values_of_binary_masks(copy, values, message):
    info = clip_of(copy('ms3'), 'ms3')
    pixels = np.full((64, 64), values[0], np.uint8)
    pixels[:9] = values[1]
    Image.fromarray(pixels).save(info['seg_map_path'][2])
    facts = inspect_clip(info, expect_published=False)
    assert kinds(facts) == ([('error', 'broken mask')] if message else [])
    if message:
        assert message in facts.findings[0].message
    else:
        assert facts.formats[2] == 'L {' + ', '.join(map(str, sorted(set(values)))) + '}'


def test_colours_and_indices_of_avss_must_agree(copy):
    root = copy('avss')
    info = clip_of(root, 'avss')
    painted = Path(info['seg_map_path'][2].replace('labels_semantic', 'labels_rgb'))
    pixels = np.array(Image.open(painted))
    pixels[0, 0] = (128, 0, 0)
    Image.fromarray(pixels).save(painted)
    assert kinds(inspect_clip(info)) == [('error', 'colours and indices differ')]
    pixels[0, 0] = (1, 1, 1)
    Image.fromarray(pixels).save(painted)
    assert kinds(inspect_clip(info)) == [('error', 'broken painted mask')]
    painted.unlink()
    assert inspect_clip(info).findings == []


@pytest.mark.parametrize(('change', 'found'), [
    (sound(tone(3.0)), [('warning', 'length of a sound')]), (sound(tone(9.0)), [('warning', 'length of a sound')]),
    (sound(tone(4.8)), []), (sound(np.zeros(5 * RATE)), [('warning', 'silent sound')]),
    (lambda path: path.unlink(), [('warning', 'log-mel without sound file')])])
def test_sounds(copy, change, found):
    info = clip_of(copy('ms3'), 'ms3')
    change(Path(info['audio_path']))
    assert kinds(inspect_clip(info, expect_published=False)) == found


def test_length_of_a_log_mel(copy):
    info = clip_of(copy('s4'), 's4')
    pickled(log_mel(4))(Path(info['audio_logmel_path']))
    (finding, ) = inspect_clip(info, expect_published=False).findings
    assert (finding.level, finding.kind) == ('warning', 'length of a log-mel')
    assert finding.message.endswith('has 4 examples for 5 frames.')


def test_more_pictures_than_the_layout_has(copy):
    info = clip_of(copy('s4'), 's4')
    for key in ('img_path', 'seg_map_path'):
        shutil.copy(info[key][4], info[key][4].replace('_5.png', '_6.png'))
    assert kinds(inspect_clip(info, expect_published=False)) == [
        ('warning', 'more frames than used'), ('warning', 'more masks than used')]
