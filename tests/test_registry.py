"""The registries: children of mmengine's, filled on first use, with no name taken in anybody else's scope."""

import subprocess
import sys

import mmengine.registry
import pytest
from mmengine.registry import Registry, init_default_scope

import mmavs.registry

NAMES = sorted(name for name, value in vars(mmavs.registry).items()
               if isinstance(value, Registry) and value.scope == 'mmavs')
# One class of each registry.
EXAMPLES = dict(
    DATASETS='AVSBenchDataset', HOOKS='PreemptionHook', INFERENCERS='AVSInferencer', METRICS='AVSMetric',
    MODELS='MTENeck', OPTIM_WRAPPERS='AutocastOptimWrapper', RUNNERS='AVSRunner', TRANSFORMS='LogMelSpectrogram',
    VISUALIZERS='AVSLocalVisualizer')


def test_there_is_an_example_of_each():
    assert list(EXAMPLES) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_child_of_mmengines_registry(name):
    registry, parent = getattr(mmavs.registry, name), getattr(mmengine.registry, name)
    assert registry.parent is parent
    assert parent.children['mmavs'] is registry


@pytest.mark.parametrize('name', NAMES)
def test_every_class_is_of_this_package_and_documented(name):
    registry = getattr(mmavs.registry, name)
    registry.import_from_location()
    classes = [one for one in registry.module_dict.values() if one.__module__.split('.')[0] == 'mmavs']
    assert registry.module_dict[EXAMPLES[name]] in classes
    assert [one.__name__ for one in classes if not one.__doc__] == []
    # Found by its scope from mmengine's root, and by that alone.
    root = getattr(mmengine.registry, name)
    assert root.get(f'mmavs.{EXAMPLES[name]}') is registry.module_dict[EXAMPLES[name]]
    assert EXAMPLES[name] not in root.module_dict


def test_a_fresh_process_finds_the_classes_by_name_alone():
    code = ('import sys, mmengine.registry as root\n'
            'assert "mmavs" not in sys.modules\n'
            f'for name, example in {EXAMPLES!r}.items():\n'
            '    print(getattr(root, name).get("mmavs." + example).__name__)')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-len(EXAMPLES):] == list(EXAMPLES.values()), done.stderr


def test_types_of_mmengine_are_found_through_the_parent():
    init_default_scope('mmseg')
    assert mmavs.registry.HOOKS.get('IterTimerHook').__module__.startswith('mmengine.')
