"""What README.md and the other pages say works: commands, files, tables and snippets."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apis.media import write_film
from tests.tools.loading import load_tool
from tests.tools.micro import random_checkpoint, write_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (
    ROOT / 'README.md', *ROOT.glob('docs/*.md'), *ROOT.glob('configs/*/README.md'), *ROOT.glob('projects/*/README.md')))

# Words of the shell and programs that are not of this package.
OTHER_PROGRAMS = {'chromium', 'done', 'export', 'for', 'source'}


def blocks(language: str, page: str = 'README.md') -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```$', (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every command of the pages, without what sets its environment or its core, each with its page."""
    found = {}
    for page in PAGES:
        lines = '\n'.join(blocks('(?:bash|shell|sh)', page)).replace('\\\n', ' ').splitlines()
        for line in lines:
            words = shlex.split(line, comments=True)
            while words and re.match(r'[A-Z_]+=', words[0]):
                words.pop(0)
            if words[:2] == ['taskset', '-c']:
                words = words[3:]
            if words:
                found[shlex.join(words)] = page
    return list(found.items())


def table(page: str, header: str) -> list[list[str]]:
    """Cells of the rows below a header line, by column name."""
    lines = (ROOT / page).read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(header))
    rows = []
    for line in lines[start:]:
        if not line.startswith('|'):
            break
        rows.append([cell.strip() for cell in line.strip('|').split('|')])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text()
    targets = {target.split('#')[0] for target in re.findall(r'\]\(([^)\s]+)\)', text)
               if not target.startswith(('http', '#'))}
    missing = sorted(target for target in targets if not ((ROOT / page).parent / target).exists())
    assert missing == []


def parse(script: str, arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((ROOT / script).parent))  # as where the script is started
        tool = load_tool(f'../{script}')
    if hasattr(tool, 'build_parser'):
        tool.build_parser().parse_args(arguments)
    else:
        tool.parse_args(arguments)


@pytest.mark.parametrize(('command', 'page'), commands())
def test_commands_are_understood(command, page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'projects' / 'web_demo'))
    words = shlex.split(command)
    if words[:2] == ['python', '-c']:
        compile(words[2], page, 'exec')
    elif words[0] == 'python':
        parse(words[1], words[2:])
    elif words[0] == 'make':
        done = subprocess.run(['make', '-n', *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif words[:2] == ['pip', 'install']:
        files = [words[k + 1] for k, word in enumerate(words) if word == '-r']
        assert all((ROOT / file).is_file() for file in files)
    elif words[0].startswith('tools/'):
        # A script with a config and a number of processes.
        assert (ROOT / words[0]).stat().st_mode & 0o111
        assert (ROOT / words[1]).is_file()
        assert words[-1].isdigit()
    elif words[0] not in OTHER_PROGRAMS:
        pytest.fail(f'{page} has a command that this test does not know: {command}')


def test_a_wrong_option_would_be_found():
    with pytest.raises(SystemExit):
        parse('tools/train.py', ['configs/avs_mamba/pvt_ms3.py', '--no-such-option'])


def test_tools_of_the_table_exist():
    for row in table('README.md', '| tool '):
        paths = re.findall(r'[\w/]+\.py', row['tool'])
        folder = Path(paths[0]).parent
        assert all((ROOT / (path if '/' in path else folder / path)).is_file() for path in paths), row


def test_config_table_agrees_with_that_of_the_configs():
    short = {row.pop('config'): row for row in table('README.md', '| config ')}
    full = {re.sub(r'\((\w+\.py)\)', r'(configs/avs_mamba/\1)', row['config']): row
            for row in table('configs/avs_mamba/README.md', '| config ')}
    # Variants of a config stand in the full table only.
    assert list(short) == [name for name in full if '_released]' not in name]
    assert short == {name: {column: full[name][column] for column in row} for name, row in short.items()}


TRAIN_THE_NECK = '''
import json, sys, torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

cfg = Config.fromfile(sys.argv[1])
assert 'custom_imports' not in cfg and 'mmavs' not in sys.modules
init_default_scope('mmseg')
torch.manual_seed(0)
model = MODELS.build(cfg.model).train()
before = {name: x.detach().clone() for name, x in model.neck.named_parameters()}
samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 19, (1, 64, 64)))) for _ in range(2)]
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
loss, _ = model.parse_losses(model(torch.randn(2, 3, 64, 64), samples, mode='loss'))
loss.backward()
optimizer.step()
print(json.dumps(dict(
    module=type(model.neck).__module__, parameters=len(before),
    without_gradient=[name for name, x in model.neck.named_parameters() if x.grad is None],
    unmoved=[name for name, x in model.neck.named_parameters() if torch.equal(x, before[name])])))
'''


def test_the_neck_of_the_example_trains_in_a_stock_model(tmp_path):
    snippet, = (block for block in blocks('python') if 'mmavs.MTENeck' in block)
    (tmp_path / 'config.py').write_text(snippet)
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', TRAIN_THE_NECK, str(tmp_path / 'config.py')],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result['module'].startswith('mmavs.models.necks')
    # 4 projections of 4 tensors each, and two layers.
    assert result['parameters'] > 16
    assert result['without_gradient'] == []
    assert result['unmoved'] == []


def test_the_inferencer_of_the_example_gives_a_mask_for_each_second(tmp_path, monkeypatch, capsys):
    snippet, = (block for block in blocks('python') if 'AVSInferencer' in block)
    config = write_config(tmp_path)
    random_checkpoint(config, tmp_path / 'best.pth')
    write_film(tmp_path / 'clip.mp4', seconds=3)
    monkeypatch.chdir(tmp_path)
    exec(snippet.replace("'pvt_ms3'", repr(str(config))), {})
    assert capsys.readouterr().out.splitlines()[-1].endswith('torch.Size([3, 48, 64])')
    assert len(list((tmp_path / 'masks').rglob('masks/*.png'))) == 3
