import json

import pytest
from PIL import Image

from tests.tools.loading import load_tool

tool = load_tool('analysis_tools/benchmark.py')


def test_every_combination_is_measured_and_written(small_config, tmp_path, capsys):
    out = tmp_path / 'bench'
    assert tool.main([small_config, '--shapes', '64', '96', '--frames', '1', '2', '--repeats', '1', '--device', 'cpu',
                      '--same-process', '--out', str(out)]) == 0
    results = json.loads((out / 'benchmark.json').read_text())
    assert [(r['frames'], r['height']) for r in results] == [(1, 64), (1, 96), (2, 64), (2, 96)]
    flops = {(r['frames'], r['height']): r['gflops'] for r in results}
    assert flops[2, 96] > flops[1, 96] > flops[1, 64]
    for result in results:
        assert result['clips_per_s'] == pytest.approx(1 / result['seconds'])
        assert result['frames_per_s'] == pytest.approx(result['frames'] / result['seconds'])
        assert result['parameters'] == results[0]['parameters']
        # What earlier cases freed would count as the next one's: neither in the table nor in the plot.
        assert result['peak_memory_mib'] is None
    assert Image.open(out / 'benchmark.png').size == (1200, 570)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['config', 'size', 'T', 'GFLOPs', 'parameters', 'seconds', 'clips/s', 'frames/s']
    assert lines[4].split()[:3] == ['small', '96x96', '2']


def test_fresh_processes_give_memory_and_a_table_of_nothing_else(small_config, tmp_path, monkeypatch, capfd):
    # With this variable mmengine logs a line for each config that is read.
    monkeypatch.setenv('MMAVS_DATA_ROOT', str(tmp_path))
    assert tool.main([small_config, '--shapes', '64', '96', '--frames', '1', '--repeats', '1', '--device', 'cpu',
                      '--out', str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ['config', 'small', 'small', 'Wrote']
    assert lines[0].split() == ['config', 'size', 'T', 'GFLOPs', 'parameters', 'peak', 'MiB', 'seconds', 'clips/s',
                                'frames/s']
    memory = [result['peak_memory_mib'] for result in json.loads((tmp_path / 'benchmark.json').read_text())]
    assert 0 < memory[0] < 4096
    assert lines[1].split()[5] == f'{memory[0]:.0f}'
    assert Image.open(tmp_path / 'benchmark.png').size == (1800, 570)


def test_costliest_parts_stand_below_their_case(small_config, capsys):
    assert tool.main([small_config, '--shapes', '64', '--frames', '1', '--repeats', '1', '--device', 'cpu',
                      '--same-process', '--parts', '3']) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = [float(line.split()[2].rstrip('%')) for line in lines[2:]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)


def test_a_case_that_fails_does_not_end_the_sweep(small_config, tmp_path, capsys):
    broken = tmp_path / 'broken.py'
    broken.write_text("model = dict(type='mmavs.NoSuchModel')")
    assert tool.main([str(broken), small_config, '--shapes', '64', '--frames', '1', '--repeats', '1', '--device',
                      'cpu', '--same-process']) == 1
    captured = capsys.readouterr()
    assert 'broken at 64 x 64, 1 frames failed' in captured.err
    assert captured.out.splitlines()[1].startswith('small')


def test_unknown_numbers_are_a_dash():
    result = dict(config='a/b.py', height=32, width=48, frames=5, gflops=1.26, parameters=1234567,
                  peak_memory_mib=None, seconds=2.0, clips_per_s=0.5, frames_per_s=2.5)
    assert tool.format_result(tool.COLUMNS, result) == ['b', '32x48', '5', '1.3', '1,234,567', '-', '2.00', '0.500',
                                                        '2.50']


def test_plot_has_a_line_per_config_and_length_and_no_panel_of_unknowns(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    figures = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
    results = [dict(config=f'{config}.py', frames=frames, height=size, gflops=frames * size, peak_memory_mib=None,
                    frames_per_s=1 / size) for config in 'ab' for frames in (1, 5) for size in (224, 128)]
    tool.plot(results, tmp_path / 'x.png')
    gflops, speed = figures[0].axes
    assert [gflops.get_title(), speed.get_title()] == ['GFLOPs per clip', 'frames per s']
    lines = {line.get_label(): line for line in gflops.lines}
    assert list(lines) == ['a, T = 1', 'a, T = 5', 'b, T = 1', 'b, T = 5']
    assert lines['b, T = 5'].get_xydata().tolist() == [[128, 640], [224, 1120]]
    assert lines['a, T = 1'].get_color() == lines['a, T = 5'].get_color() != lines['b, T = 5'].get_color()
    assert lines['a, T = 1'].get_linestyle() == lines['b, T = 1'].get_linestyle() != lines['b, T = 5'].get_linestyle()


@pytest.mark.parametrize(('arguments', 'message'), [
    (['gone.py'], 'No config file gone.py.'),
    (['{config}', '--shapes', '0'], '--shapes must be at least 1.'),
    (['{config}', '--repeats', '0'], '--repeats must be at least 1.'),
])
def test_bad_input_is_one_sentence(arguments, message, small_config, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([argument.format(config=small_config) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
