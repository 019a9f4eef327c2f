import pytest
from mmengine.config import Config

from tests.tools.loading import ROOT, load_tool

tool = load_tool('misc/print_config.py')
CONFIG = str(ROOT / 'configs/avs_mamba/pvt_ms3.py')


def test_bases_are_merged_and_overrides_applied(capsys, tmp_path):
    saved = str(tmp_path / 'saved.py')
    assert tool.main([CONFIG, '--cfg-options', 'train_cfg.max_epochs=7', '--save-path', saved]) == 0
    (tmp_path / 'printed.py').write_text(capsys.readouterr().out)
    for path in (saved, str(tmp_path / 'printed.py')):
        cfg = Config.fromfile(path)
        assert cfg.train_cfg.max_epochs == 7
        assert cfg.model.neck.type == 'mmavs.MTENeck'
        assert 'work_dir' not in cfg
        assert 'launcher' not in cfg


@pytest.mark.parametrize(('arguments', 'message'), [
    (['nowhere.py'], 'No config file nowhere.py'),
    ([CONFIG, '--save-path', 'a.txt'], '--save-path a.txt must end in .py, .json or .yml.'),
])
def test_bad_input_is_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
