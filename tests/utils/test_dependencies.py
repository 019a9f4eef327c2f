import warnings
from types import SimpleNamespace

import pytest
from mmengine.config.utils import MODULE2PACKAGE

from mmavs.utils import dependencies


def install(monkeypatch, **versions):
    """Let exactly these mm packages be found, with these versions."""
    monkeypatch.setattr(dependencies.util, 'find_spec', lambda name: object() if name in versions else None)
    monkeypatch.setattr(dependencies, 'import_module', lambda name: SimpleNamespace(__version__=versions[name]))


@pytest.mark.parametrize(('text', 'numbers'), [
    ('0.10.12', (0, 10, 12)), ('2.3.6+cpu', (2, 3, 6)), ('2.2.0rc1', (2, 2, 1)), ('1.3', (1, 3)),
    ('1.2.2.post1', (1, 2, 2)), ('dev', (0,))])
def test_release_numbers(text, numbers):
    # As numbers 0.10 is above 0.9; as text it would be below.
    assert dependencies._release(text) == numbers


def test_tested_and_newer_versions_say_nothing(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        install(monkeypatch, mmengine='0.10.7', mmcv='2.0.1', mmseg='1.2.2')
        dependencies.require_mm_packages()
        install(monkeypatch, mmengine='1.0', mmcv='99.0.0', mmseg='1.4.2')
        dependencies.require_mm_packages()


@pytest.mark.parametrize(('name', 'found', 'wanted'), [('mmcv', '1.7.1', '2.0.1'), ('mmengine', '0.9.1', '0.10.7')])
def test_an_old_version_is_a_warning_with_the_command(monkeypatch, name, found, wanted):
    install(monkeypatch, **{**dict(mmengine='0.10.7', mmcv='2.0.1', mmseg='1.2.2'), name: found})
    with pytest.warns(UserWarning, match=rf'tested with {name}>={wanted}, but {name} {found} .*pip install') as caught:
        dependencies.require_mm_packages()
    assert len(caught) == 1


def test_all_that_is_missing_is_named_at_once(monkeypatch):
    install(monkeypatch, mmcv='2.3.6')
    with pytest.raises(ImportError, match=r'^mmavs needs mmengine, mmseg, which cannot .*mminstall\.txt'):
        dependencies.require_mm_packages()


def test_configs_of_other_packages_keep_their_entry(monkeypatch):
    monkeypatch.setitem(MODULE2PACKAGE, 'mmavs', 'fork-of-mmavs')
    dependencies.register_config_package()
    assert MODULE2PACKAGE['mmavs'] == 'fork-of-mmavs'
    monkeypatch.delitem(MODULE2PACKAGE, 'mmavs')
    dependencies.register_config_package()
    assert MODULE2PACKAGE['mmavs'] == 'mmavs'
    monkeypatch.delitem(MODULE2PACKAGE, 'mmavs')
    install(monkeypatch)
    dependencies.register_config_package()
    assert 'mmavs' not in MODULE2PACKAGE, 'without mmengine there is nothing to register with'


def test_version_of_a_distribution():
    assert dependencies.distribution_version('pytest') == pytest.__version__
    assert dependencies.distribution_version('no-such-distribution') == 'not installed'
