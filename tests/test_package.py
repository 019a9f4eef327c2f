"""The package as a whole: what importing it needs, and which part may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmavs

ROOT = Path(mmavs.__file__).parent
MODELS = ['backbones', 'audio_backbones', 'necks', 'pixel_decoders', 'decode_heads', 'losses']
BOTTOM = {'mmavs.registry', 'mmavs.structures', 'mmavs.utils', 'mmavs.version'}
# Part -> what it may import besides itself and the bottom (DESIGN: imports only go down).
MAY_IMPORT = {
    'mmavs.registry': set(),
    'mmavs.structures': set(),
    'mmavs.utils': {'mmavs.ops'},  # to name the scan backend in the log; the ops import nothing of mmavs
    'mmavs.ops': set(),
    'mmavs.models.layers': {'mmavs.ops'},
    **{f'mmavs.models.{name}': {'mmavs.ops', 'mmavs.models.layers', 'mmavs.models.losses'} for name in MODELS},
    'mmavs.models.data_preprocessor': set(),
    'mmavs.models.segmentors': {'mmavs.models'},
    'mmavs.datasets': set(),
    'mmavs.evaluation': set(),
    'mmavs.visualization': set(),
    'mmavs.engine': {'mmavs.visualization', 'mmavs.ops'},
}


def part_of(module: str) -> str | None:
    matches = [part for part in MAY_IMPORT if module == part or module.startswith(part + '.')]
    return max(matches, key=len) if matches else None


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = '.'.join(['mmavs', *path.relative_to(ROOT).parts[:-1]])
            base = package.rsplit('.', node.level - 1)[0] if node.level > 1 else package
            found.add(node.module if node.level == 0 else f'{base}.{node.module or ""}'.rstrip('.'))
    return {name for name in found if name and name.split('.')[0] == 'mmavs'}


def test_imports_only_go_down():
    wrong = []
    for path in ROOT.rglob('*.py'):
        module = '.'.join(['mmavs', *path.relative_to(ROOT).with_suffix('').parts]).removesuffix('.__init__')
        part = part_of(module)
        if part is None:
            continue
        allowed = MAY_IMPORT[part] | BOTTOM | {part}
        wrong += [f'{module} imports {name}' for name in imports_of(path)
                  if not any(name == ok or name.startswith(ok + '.') for ok in allowed)]
    assert wrong == []


def test_no_part_imports_torchvision_or_compiled_mmcv():
    text = '\n'.join(path.read_text() for path in ROOT.rglob('*.py'))
    assert 'import torchvision' not in text
    assert 'from torchvision' not in text
    assert 'mmcv._ext' not in text
    assert 'mmcv.ops' not in text


@pytest.mark.parametrize('name', [name for name in mmavs.__all__ if name != '__version__'])
def test_public_names_load(name):
    assert getattr(mmavs, name).__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mmavs.Nothing


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)


BLOCK = '''
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'blocked {{name}}', name=name)
sys.meta_path.insert(0, Block())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {blocked!r} else real(name, *a)
'''


def test_ops_need_torch_only():
    blocked = {'mmengine', 'mmcv', 'mmseg', 'numpy.testing', 'soundfile', 'soxr', 'cv2', 'scipy', 'matplotlib'}
    done = run_python(BLOCK.format(blocked=blocked) + '''
import torch, mmavs.ops
out = mmavs.ops.causal_conv1d(torch.ones(1, 1, 3), torch.ones(1, 2), None, None)
print(out.flatten().tolist())
''')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith('[1.0, 2.0, 2.0]')


def test_missing_mm_packages_are_named_with_the_command():
    done = run_python(BLOCK.format(blocked={'mmengine', 'mmseg'}) + 'import mmavs\nmmavs.MTENeck')
    assert done.returncode != 0
    assert 'mmavs needs mmengine, mmseg' in done.stderr
    assert 'pip install -r requirements/mminstall.txt' in done.stderr


def test_types_are_found_from_any_scope_without_custom_imports():
    done = run_python('''
from mmseg.registry import MODELS
neck = MODELS.build(dict(type='mmavs.MTENeck', in_channels=(4, 8, 16, 32), out_channels=32, num_layers=1, d_state=2))
print(type(neck).__module__)
''')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith('mmavs.models.necks')
