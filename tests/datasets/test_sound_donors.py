import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.sound_donors import find_donor


def s4(*categories: str) -> list[dict]:
    return [dict(video_id=str(i), subset='s4', category=name) for i, name in enumerate(categories)]


@pytest.fixture
def avss(tmp_path):
    """Makes clips of AVSS from the classes in each of their masks; None: a frame without a label."""

    def make(*clips: list) -> list[dict]:
        found = []
        for i, masks in enumerate(clips):
            paths = [None if classes is None else str(tmp_path / f'{i}_{k}.png') for k, classes in enumerate(masks)]
            for path, classes in zip(paths, masks, strict=True):
                if path is not None:
                    Image.fromarray(np.array([[0, *classes]], dtype=np.uint8)).save(path)
            found.append(dict(video_id=f'clip {i}', subset='avss', category='v2', mask_format='index',
                              seg_map_path=paths))
        return found

    return make


def donors(clips: list[dict], sound_of: str) -> list[int]:
    return [clips.index(find_donor(clips.__getitem__, len(clips), i, sound_of)) for i in range(len(clips))]


def test_the_next_clip_and_the_next_category():
    clips = s4('dog', 'dog', 'cat', 'cat', 'dog')
    assert donors(clips, 'other_clip') == [1, 2, 3, 4, 0]
    assert donors(clips, 'other_category') == [2, 2, 4, 4, 2]


def test_classes_of_any_labelled_frame_count_and_silent_clips_give_nothing(avss):
    clips = avss([[1], [2]], [[3], [2]], [[], []], [None, [3]], [[4]])
    # 0 has 1 and 2, 1 has 2 and 3, 2 is silent, 3 has 3, 4 has 4.
    assert donors(clips, 'other_category') == [3, 4, 3, 4, 0]
    assert donors(clips, 'other_clip') == [1, 2, 3, 4, 0]


@pytest.mark.parametrize('sound_of', ['other_clip', 'other_category'])
def test_nobody_to_give_a_sound(avss, sound_of):
    with pytest.raises(ValueError, match=rf"sound_of='{sound_of}' needs at least 2 .*; this data set has none"):
        donors(s4('dog'), sound_of)
    if sound_of == 'other_category':
        with pytest.raises(ValueError, match="needs a clip without any class of clip 'clip 0'"):
            donors(avss([[1], [2]], [[2]], [[]]), sound_of)


def test_a_broken_mask_is_named(avss, tmp_path):
    clips = avss([[1]], [[2]])
    (tmp_path / '1_0.png').write_bytes(b'broken')
    with pytest.raises(DataFileError, match=r'1_0\.png is damaged'):
        donors(clips, 'other_category')
