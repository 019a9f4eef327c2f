import json

import numpy as np
import pytest
from PIL import Image

from tests.tools.loading import load_tool

tool = load_tool('analysis_tools/analyze_logs.py')


def write_log(path, losses=(3.0, 2.0, 1.0), scores=(40.0, 55.5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [dict(lr=1e-4, loss=loss, epoch=1, iter=10 * i, step=10 * i) for i, loss in enumerate(losses, 1)]
    lines += [{'avs/J': score, 'step': epoch} for epoch, score in enumerate(scores, 1)]
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return path


def test_curves_by_hand(tmp_path):
    curves = tool.read_curves(write_log(tmp_path / 'scalars.json'))
    assert sorted(curves) == ['avs/J', 'loss', 'lr']
    assert curves['loss'][0].tolist() == [10, 20, 30]
    assert curves['loss'][1].tolist() == [3, 2, 1]
    assert curves['avs/J'][0].tolist() == [1, 2]
    assert tool.default_keys([curves]) == ['loss', 'avs/J']


def test_line_cut_short_by_a_killed_run_is_left_out(tmp_path):
    path = write_log(tmp_path / 'scalars.json')
    path.write_text(path.read_text() + '{"loss": 0.')
    assert len(tool.read_curves(path)['loss'][1]) == 3


def test_newest_run_of_a_folder(tmp_path):
    import os
    old = write_log(tmp_path / 'b' / 'vis_data' / 'scalars.json')
    new = write_log(tmp_path / 'a' / 'vis_data' / 'scalars.json')
    os.utime(old, (1, 1))
    assert tool.find_log(tmp_path) == new


def test_moving_mean_by_hand():
    assert tool.moving_mean(np.array([1.0, 3.0, 5.0, 9.0]), 2).tolist() == [1, 2, 4, 7]
    assert tool.moving_mean(np.array([1.0, 3.0]), 1).tolist() == [1, 3]


def test_picture_and_summary(tmp_path, capsys):
    first = write_log(tmp_path / 'one' / 'scalars.json')
    second = write_log(tmp_path / 'two' / 'scalars.json', losses=(5.0, 4.0), scores=())
    out = tmp_path / 'plots' / 'curves.png'
    assert tool.main([str(first), str(second), '--legend', 'A', 'B', '--smooth', '2', '--out', str(out)]) == 0
    text = capsys.readouterr().out
    assert 'A  loss: last 1, lowest 1, highest 3, 3 points' in text
    assert 'A  avs/J: last 55.5, lowest 40, highest 55.5, 2 points' in text
    assert 'B  loss: last 4' in text
    assert 'B  avs/J' not in text
    assert Image.open(out).size == (2 * 690, 480)            # two panels of 4.6 x 3.2 inches at 150 dpi


@pytest.mark.parametrize(('arguments', 'message'), [
    (['gone'], 'gone is neither a log file nor a folder.'),
    (['{tmp}/empty'], 'holds no scalars.json'),
    (['{tmp}/text.json'], 'text.json, line 1 is no JSON object'),
    (['{tmp}/scalars.json', '--keys', 'los'], "no log has 'los'; there are: avs/J, loss, lr."),
    (['{tmp}/scalars.json', '--legend', 'a', 'b'], '--legend has 2 names for 1 logs.'),
    (['{tmp}/scalars.json', '--smooth', '0'], '--smooth 0 must be at least 1.'),
])
def test_bad_input_is_one_sentence(arguments, message, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text.json').write_text('[1]\nhello\n')
    write_log(tmp_path / 'scalars.json')
    with pytest.raises(SystemExit) as stop:
        tool.main([argument.format(tmp=tmp_path) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
