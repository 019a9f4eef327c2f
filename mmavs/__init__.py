"""mmavs: audio-visual segmentation (AVS) on OpenMMLab.

Importing this package is cheap: the public classes are loaded on first use, so that ``import mmavs.ops`` works where
only torch is installed. Loading one of them without the mm packages raises an ``ImportError`` that names the command
to install them.
"""

from importlib import import_module
from typing import Any

from mmavs.utils.dependencies import register_config_package, require_mm_packages
from mmavs.version import __version__

_PUBLIC = {
    'AVDataSample': 'mmavs.structures',
    'AVSBenchDataset': 'mmavs.datasets',
    'LogMelSpectrogram': 'mmavs.datasets.transforms',
    'PackAVSInputs': 'mmavs.datasets.transforms',
    'AVDataPreprocessor': 'mmavs.models',
    'AVSegmentor': 'mmavs.models',
    'PVTv2': 'mmavs.models',
    'VGGish': 'mmavs.models',
    'MTENeck': 'mmavs.models',
    'CIPPixelDecoder': 'mmavs.models',
    'MADHead': 'mmavs.models',
    'AVSMetric': 'mmavs.evaluation',
    'AVSSemanticMetric': 'mmavs.evaluation',
    'AVSInferencer': 'mmavs.apis',
}

__all__ = ['__version__', *_PUBLIC]

register_config_package()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmavs' has no attribute '{name}'")
    require_mm_packages()
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
