"""From a trained model to pictures: sheets and masks of tools/test.py, and the comparison of two runs."""

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from mmavs.utils.building import build_dataset, build_model
from tests.tools.loading import load_tool

test_tool = load_tool('test.py')
compare_tool = load_tool('analysis_tools/vis_qualitative.py')


def test_sheets_masks_and_comparison(small_config, tmp_path):
    cfg = Config.fromfile(small_config)
    torch.manual_seed(0)
    model = build_model(cfg)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'weights.pth')
    assert test_tool.main([
        small_config, str(tmp_path / 'weights.pth'), '--work-dir', str(tmp_path / 'work'), '--cfg-options',
        'default_hooks.visualization.draw=True', f'default_hooks.visualization.show_dir={tmp_path / "sheets"}',
        f'default_hooks.visualization.mask_dir={tmp_path / "masks"}', 'model.backbone.init_cfg=None']) == 0

    dataset = build_dataset(cfg, 'test')
    names = sorted(dataset.get_data_info(index)['video_id'] for index in range(len(dataset)))
    assert sorted(path.stem for path in (tmp_path / 'sheets').glob('*.png')) == names
    assert sorted(path.name for path in (tmp_path / 'masks').iterdir()) == names

    item = dataset[0]
    with torch.no_grad():
        sample = model.test_step(dict(inputs={key: [value] for key, value in item['inputs'].items()},
                                      data_samples=[item['data_samples']]))[0]
    for second, mask in enumerate(sample.pred_sem_seg.data.numpy()):
        written = np.asarray(Image.open(tmp_path / 'masks' / sample.video_id / f'{second}.png'))
        assert (written == 255 * mask).mean() > 0.999
    sheet = np.asarray(Image.open(tmp_path / 'sheets' / f'{sample.video_id}.png'))
    assert sheet.shape[1] > 5 * 200

    out = tmp_path / 'figure.png'
    assert compare_tool.main([small_config, '--results', str(tmp_path / 'masks'), '--out', str(out)]) == 0
    assert out.is_file()
