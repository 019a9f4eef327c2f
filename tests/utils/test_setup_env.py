"""Registering everything at once."""

import subprocess
import sys

import pytest


def printed_by(code: str) -> str:
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split('\n')[-2]


@pytest.mark.parametrize(('argument', 'scope'), [('', 'mmseg'), ('init_default_scope=False', None)])
def test_all_registries_are_filled_and_the_scope_is_set_on_request(argument, scope):
    code = ('from mmavs.utils import register_all_modules\n'
            f'register_all_modules({argument})\n'
            'import mmavs.registry as own\n'
            'from mmengine.registry import DefaultScope, Registry\n'
            'sizes = [len(one.module_dict) for one in vars(own).values()\n'
            '         if isinstance(one, Registry) and one.scope == "mmavs"]\n'
            'scope = DefaultScope.get_current_instance()\n'
            'print(min(sizes) > 0, len(sizes), scope.scope_name if scope else None)')
    assert printed_by(code) == f'True 9 {scope}'


def test_mmengines_hub_builds_a_model_by_its_name():
    code = ('import mmavs\n'
            'from mmengine.hub import get_model\n'
            'print(type(get_model("mmavs::avs_mamba/tiny_shapes.py")).__name__)')
    assert printed_by(code) == 'AVSegmentor'
