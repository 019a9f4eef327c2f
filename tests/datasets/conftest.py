from pathlib import Path

import pytest

from mmavs.datasets.sounding_shapes import generate

CLIPS = dict(train=5, val=2, test=3)


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory) -> Path:
    """All three subsets of SoundingShapes, small. Tests must not change it."""
    root = tmp_path_factory.mktemp('shapes')
    for subset in ('s4', 'ms3', 'avss'):
        generate(root, subset, clips=CLIPS, image_size=64, workers=0, write_log_mel=True, progress=False)
    return root
