import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from PIL import Image
from torch import nn

from mmavs.utils import safe_load
from mmavs.utils.building import build_model
from tests.tools.loading import load_tool

tool = load_tool('analysis_tools/vis_features.py')


def test_a_row_per_module(small_config, tmp_path, capsys):
    sizes = []
    for modules in (['neck:1'], ['backbone:0', 'neck:1', 'decode_head.pixel_decoder']):
        assert tool.main([small_config, 'none', '--num', '1', '--cell-width', '64', '--modules', *modules, '--out',
                          str(tmp_path / str(len(modules)))]) == 0
        picture = Image.open(next((tmp_path / str(len(modules))).glob('*.png')))
        sizes.append(picture.size)
    assert sizes[1][1] - sizes[0][1] == 2 * (64 + 6)
    assert 'Wrote' in capsys.readouterr().out


def test_default_rows_say_which_side_of_the_cip_they_show(small_config, tmp_path, monkeypatch):
    labels = []
    draw = tool.Page.draw

    def draw_noted(page):
        labels.append([row.label for row in page.rows])
        return draw(page)

    monkeypatch.setattr(tool.Page, 'draw', draw_noted)
    arguments = [small_config, 'none', '--num', '1', '--cell-width', '64', '--out', str(tmp_path)]
    assert tool.main(arguments) == 0
    assert tool.main([*arguments, '--modules', 'neck:2']) == 0
    assert labels == [['frame', 'ground truth', 'before CIP', 'after CIP'], ['frame', 'ground truth', 'neck:2']]


def test_weights_of_a_checkpoint_are_used(small_config, tmp_path):
    torch.manual_seed(3)
    model = build_model(Config.fromfile(small_config))
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'weights.pth')
    pictures = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        out = tmp_path / str(seed)
        assert tool.main([small_config, str(tmp_path / 'weights.pth'), '--num', '1', '--components', '3', '--out',
                          str(out)]) == 0
        pictures.append(np.asarray(Image.open(next(out.glob('*.png')))))
    assert (pictures[0] == pictures[1]).all()


class Note:
    """Not known to be harmless, but harmless."""


def test_trust_checkpoint_opens_what_is_refused_without_it(small_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(safe_load, '_CHOICE', dict(trust=False))
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    model = build_model(Config.fromfile(small_config))
    torch.save(dict(state_dict=model.state_dict(), meta={}, note=Note()), tmp_path / 'own.pth')
    arguments = [small_config, str(tmp_path / 'own.pth'), '--num', '1', '--out', str(tmp_path / 'out')]
    with pytest.raises(SystemExit):
        tool.main(arguments)
    assert 'if you trust the author of the file, pass --trust-checkpoint.' in capsys.readouterr().err
    assert tool.main([*arguments, '--trust-checkpoint']) == 0
    assert len(list((tmp_path / 'out').glob('*.png'))) == 1


def test_outputs_are_recorded_by_name_and_hooks_removed():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with tool.recorded_outputs(model, {'0'}) as outputs:
        model(torch.ones(1, 2))
    assert list(outputs) == ['0']
    assert torch.equal(outputs['0'], model[0](torch.ones(1, 2)))
    assert not model[0]._forward_hooks


def test_module_names_with_and_without_index():
    model = nn.ModuleDict(dict(neck=nn.Identity()))
    assert tool.parse_module('neck:2', model) == ('neck', 2)
    assert tool.parse_module('neck', model) == ('neck', None)
    with pytest.raises(ValueError, match="no module 'nek'; there are neck"):
        tool.parse_module('nek', model)
    with pytest.raises(ValueError, match="'x' is no number"):
        tool.parse_module('neck:x', model)


def test_outputs_that_are_no_maps():
    maps = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2)]
    assert tool.pick(maps, -1, 'neck:-1', 2) is maps[1]
    with pytest.raises(ValueError, match='returns 2 outputs; choose one with :0 to :1'):
        tool.pick(maps, None, 'neck', 2)
    with pytest.raises(ValueError, match=r'the output is \(2, 5\); a feature map \(2, C, h, w\) is needed'):
        tool.pick(torch.zeros(2, 5), None, 'fc', 2)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['gone.py', 'none'], 'No config file gone.py'),
    (['{config}', 'gone.pth'], 'gone.pth'),
    (['{config}', 'none', '--factor', '2'], '--factor 2.0 must lie in 0..1.'),
    (['{config}', 'none', '--start', '7'], '--start 7'),
    (['{config}', 'none', '--modules', 'neck'], 'returns 4 outputs; choose one with :0 to :3.'),
    (['{config}', 'none', '--modules', 'decode_head.loss_decode'], 'the model did not call this module.'),
])
def test_bad_input_is_one_sentence(arguments, message, small_config, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([argument.format(config=small_config) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
