import json
import subprocess
import sys

import pytest

from mmavs.ops import load_extension
from tests.ops.scan_cases import in_subprocess_environment
from tests.tools.loading import ROOT, load_tool

tool = load_tool('analysis_tools/get_flops.py')


def test_numbers_by_hand(small_config, tmp_path, capsys):
    out = tmp_path / 'flops.json'
    assert tool.main([small_config, '--frames', '2', '--depth', '1', '--out', str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found['height'], found['width'], found['frames']) == (64, 64, 2)
    # Linear(128, 32) on the audio of 2 frames; first VGGish convolution 1 -> 4 channels, 3 x 3, on 96 x 64.
    assert found['flops']['decode_head.audio_proj'] == 2 * 2 * 128 * 32
    assert found['flops']['audio_backbone.features.0'] == 2 * 2 * 4 * 9 * 96 * 64
    # First patch embedding of PVTv2: 3 -> 32 channels, 7 x 7, stride 4.
    assert found['flops']['backbone.patch_embed1'] == 2 * 2 * 32 * 3 * 49 * 16 * 16
    assert found['parameters']['decode_head.audio_proj'] == 128 * 32 + 32
    # Mask MLP 1 -> 8 -> 8 -> 32 on the 16 x 16 pixels of 2 frames, layer by layer.
    assert found['flops']['decode_head.predictor.mlp'] == 2 * 2 * 256 * (8 + 64 + 256)
    parts = ('backbone', 'neck', 'decode_head', 'audio_backbone')
    assert sum(found['flops'][part] for part in parts) == found['flops']['']
    assert sum(found['parameters'][part] for part in parts) == found['parameters']['']
    assert sum(found['by_operator'].values()) == found['flops']['']
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[2:6]] == list(parts)
    assert 'One clip of 2 frames of 64 x 64 pixels' in text
    assert 'aten.native_layer_norm' in text


def test_size_of_the_input_is_that_of_the_command_line(small_config, tmp_path, capsys):
    out = tmp_path / 'flops.json'
    assert tool.main([small_config, '--frames', '1', '--shape', '32', '64', '--as-run', '--out', str(out)]) == 0
    assert 'evaluated by linear pieces, the clip took' in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert (found['height'], found['width']) == (32, 64)
    assert found['flops']['backbone.patch_embed1'] == 2 * 32 * 3 * 49 * 8 * 16


def test_every_backend_counts_the_same_scans(small_config, tmp_path):
    # In processes of their own: the native formulas are there only once the compiled library is loaded.
    found = {}
    for backend, suffix in (('torch', '_torch'), ('cpp', '')):
        if backend == 'cpp' and load_extension() is not None:
            continue
        out = tmp_path / f'{backend}.json'
        done = subprocess.run(
            [sys.executable, str(ROOT / 'tools/analysis_tools/get_flops.py'), small_config, '--frames', '2', '--out',
             str(out)], capture_output=True, text=True, check=False, timeout=300,
            env=in_subprocess_environment(MMAVS_SCAN_BACKEND=backend))
        assert done.returncode == 0, done.stderr[-2000:]
        assert 'Custom operators' not in done.stdout
        found[backend] = json.loads(out.read_text())
        scan = f'mmavs.cross_scan{suffix}_fwd'
        assert found[backend]['by_operator'][scan] > 0
        assert scan not in found[backend]['uncounted']
        found[backend]['by_operator']['scan'] = found[backend]['by_operator'].pop(scan)
    counts = list(found.values())
    assert all((count['flops'], count['by_operator']) == (counts[0]['flops'], counts[0]['by_operator'])
               for count in counts)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['gone.py'], 'No config file gone.py'),
    (['{config}', '--shape', '8'], '--shape 8 must be one or two numbers of at least 32 pixels.'),
    (['{config}', '--frames', '0'], '--frames 0 must be at least 1.'),
    (['{config}', '--cfg-options', 'model.decode_head.channels=16'], 'in_channels of MADHead must be channels=16'),
])
def test_bad_input_is_one_sentence(arguments, message, small_config, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([argument.format(config=small_config) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
