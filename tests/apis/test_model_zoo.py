import shutil

import pytest

from mmavs.apis import model_zoo
from mmavs.apis.model_zoo import find_model, model_entries, package_root


def test_names_of_the_metafile_are_found():
    cfg, weights = find_model('PVT_ms3')
    assert cfg.model.type == 'mmavs.AVSegmentor'
    assert cfg.filename.endswith('configs/avs_mamba/pvt_ms3.py')
    assert weights is None
    assert {'pvt_s4', 'pvt_ms3', 'pvt_avss'} <= set(model_entries())


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"'pvt_ms4' is neither a config file nor a known model; known are .*pvt_ms3"):
        find_model('pvt_ms4')
    with pytest.raises(FileNotFoundError, match=r'There is no config file configs/none\.py'):
        find_model('configs/none.py')


def install(root, tmp_path, monkeypatch):
    """An installed package: configs under mmavs/.mim, and someone else's folder `configs` beside it."""
    package = tmp_path / 'site-packages' / 'mmavs'
    mim = package / '.mim'
    (package / 'apis').mkdir(parents=True)
    (package.parent / 'configs').mkdir()
    shutil.copytree(root / 'configs', mim / 'configs')
    shutil.copy(root / 'model-index.yml', mim)
    monkeypatch.setattr(model_zoo, '__file__', str(package / 'apis' / 'model_zoo.py'))
    return mim


def test_installed_package(tmp_path, monkeypatch):
    mim = install(package_root(), tmp_path, monkeypatch)
    assert package_root() == mim
    cfg, _ = find_model('pvt_s4')
    assert cfg.filename == str(mim / 'configs/avs_mamba/pvt_s4.py')


def test_aliases_and_weights(tmp_path, monkeypatch):
    mim = install(package_root(), tmp_path, monkeypatch)
    (mim / 'configs/avs_mamba/metafile.yml').write_text(
        'Models:\n  - Name: pvt_ms3\n    Alias: [best, avs]\n    Config: configs/avs_mamba/pvt_ms3.py\n'
        '    Weights: some.pth\n')
    assert find_model('AVS')[1] == 'some.pth'


def test_incomplete_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(model_zoo, '__file__', str(tmp_path / 'mmavs' / 'apis' / 'model_zoo.py'))
    with pytest.raises(FileNotFoundError, match=r'have no model-index\.yml: the installation is incomplete'):
        package_root()
