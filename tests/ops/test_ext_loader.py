import importlib.util

import pytest
import torch

from mmavs.ops import ext_loader
from tests.ops.scan_cases import native_or_skip


@pytest.fixture
def loader(tmp_path):
    """The module once more, in the empty folder ``tmp_path``: this process may have loaded the real ops already."""
    spec = importlib.util.spec_from_file_location('mmavs.ops.second_ext_loader', ext_loader.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__file__ = str(tmp_path / 'ext_loader.py')
    return module


def wanted_schemas(loader):
    return {str(torch._C.parse_schema('mmavs::' + schema.format(s=''))) for schema in loader.SCHEMAS}


def test_the_library_is_loaded_and_registered_once(loader, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(torch.ops, 'load_library', calls.append)
    monkeypatch.setattr(loader, 'register_rules', lambda suffix: calls.append(f'rules{suffix}'))
    monkeypatch.setattr(loader, '_loaded_schemas', lambda: wanted_schemas(loader))
    (tmp_path / '_ext.cpython-311.so').touch()
    assert [loader.load_extension() for _ in range(3)] == [None] * 3
    assert calls == [str(tmp_path / '_ext.cpython-311.so'), 'rules']


@pytest.mark.parametrize('change', [lambda schemas: schemas[1:], lambda schemas: [*schemas[1:], schemas[0] + 'x']])
def test_a_library_of_another_version_registers_nothing(change, loader, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.ops, 'load_library', lambda path: None)
    monkeypatch.setattr(loader, 'register_rules', lambda suffix: pytest.fail('rules of ops with other arguments'))
    monkeypatch.setattr(loader, '_loaded_schemas', lambda: set(change(sorted(wanted_schemas(loader)))))
    (tmp_path / '_ext.so').touch()
    assert 'another version of mmavs' in loader.load_extension()
    assert not loader.has_kernel('cpu')


def test_a_missing_library_serves_no_device(loader):
    assert 'not built' in loader.load_extension()
    assert not loader.has_kernel('cpu')


def test_a_library_that_does_not_load_registers_nothing(loader, monkeypatch, tmp_path):
    monkeypatch.setattr(loader, 'register_rules', lambda suffix: pytest.fail('rules of ops that are not there'))
    (tmp_path / '_ext.so').write_bytes(b'no library')
    assert 'build them again' in loader.load_extension()
    assert not loader.has_kernel('cpu')


def test_devices_of_the_kernels():
    native_or_skip()
    assert ext_loader.has_kernel('cpu')
    assert not ext_loader.has_kernel('mps')
