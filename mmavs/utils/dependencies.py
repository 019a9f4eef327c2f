"""Checks of the mm packages that mmavs builds on.

They are looked up by import name and never by distribution: the maintained ``onedl-*`` distributions and upstream's
give the same modules, so neither can be a hard requirement of our own distribution.
"""

import warnings
from importlib import import_module, util
from importlib.metadata import PackageNotFoundError, version

INSTALL_HINT = (
    'Install them with `pip install -r requirements/mminstall.txt` (or, without a checkout, '
    '`pip install "onedl-mmengine>=0.10.10,<0.11" "onedl-mmcv>=2.3.5,<2.4" "onedl-mmsegmentation>=1.4.2,<1.5"`).'
)
# Module, lowest version known to work.
MM_PACKAGES = {'mmengine': (0, 10, 7), 'mmcv': (2, 0, 1), 'mmseg': (1, 2, 2)}


def require_mm_packages() -> None:
    """Check that mmengine, mmcv and mmseg can be imported.

    Versions below the tested ones only warn; there is no upper bound.

    Raises:
        ImportError: If one of them is missing; the message names the pip command.
    """
    missing = [name for name in MM_PACKAGES if util.find_spec(name) is None]
    if missing:
        raise ImportError(f'mmavs needs {", ".join(missing)}, which cannot be imported here. {INSTALL_HINT}')
    for name, lowest in MM_PACKAGES.items():
        found = import_module(name).__version__
        if _release(found) < lowest:
            wanted = '.'.join(map(str, lowest))
            warnings.warn(f'mmavs is tested with {name}>={wanted}, but {name} {found} is installed. {INSTALL_HINT}',
                          stacklevel=3)


def register_config_package() -> None:
    """Let mmengine resolve ``_base_ = 'mmavs::avs_mamba/pvt_ms3.py'``; nothing happens without mmengine."""
    if util.find_spec('mmengine') is not None:
        from mmengine.config.utils import MODULE2PACKAGE
        MODULE2PACKAGE.setdefault('mmavs', 'mmavs')


def distribution_version(name: str) -> str:
    """Version of an installed distribution, or ``'not installed'``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'


def _release(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split('+')[0].split('.')[:3]:
        digits = ''.join(ch for ch in part if ch.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)
