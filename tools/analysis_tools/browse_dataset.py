"""See and hear what the network gets: clips after augmentation and normalisation.

For each clip a contact sheet (frames, masks and log-mel as they enter the network) and the sound below the log-mel
(mono, 16 kHz, cut to the clip) are written; no window is opened.

Example:
    python tools/analysis_tools/browse_dataset.py configs/avs_mamba/pvt_ms3.py --split train --num 20
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch import nn

from mmavs.engine.launch import load_config
from mmavs.registry import MODELS
from mmavs.structures import AVDataSample
from mmavs.utils.building import SPLITS, build_dataset
from mmavs.utils.pipelines import keep_sound
from mmavs.visualization import AVSLocalVisualizer, write_picture
from mmavs.visualization.html_report import write_sound


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('--split', choices=SPLITS, default='train', help='default: train')
    parser.add_argument('--num', type=int, default=10, help='number of clips (default: 10)')
    parser.add_argument('--start', type=int, default=0, help='first clip (default: 0)')
    parser.add_argument('--repeat', type=int, default=1, help='draw each clip this often, to see the augmentation vary')
    parser.add_argument('--output-dir', default='work_dirs/browse', help='default: work_dirs/browse')
    parser.add_argument('--seed', type=int, default=0, help='seed of the augmentation (default: 0)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries, e.g. train_dataloader.dataset.data_root=data/avsbench')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    for name in ('num', 'repeat'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} {getattr(args, name)} must be at least 1.')
    try:
        cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
        dataset = build_dataset(cfg, args.split)
        if not 0 <= args.start < len(dataset):
            raise ValueError(f'--start {args.start}: the {args.split} split has clips 0 to {len(dataset) - 1}.')
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    except (FileNotFoundError, ValueError, KeyError) as error:
        parser.error(str(error))
    keep_sound(dataset)
    set_random_seed(args.seed)
    visualizer = AVSLocalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    folder = Path(args.output_dir)
    indices = range(args.start, min(args.start + args.num, len(dataset)))
    for index in indices:
        for repeat in range(args.repeat):
            suffix = f'_{repeat}' if args.repeat > 1 else ''
            sample = write_clip(dataset[index], preprocessor, visualizer, folder, f'{index:05d}_', suffix)
        print(f'{index}: {sample.video_id}', flush=True)
    print(f'Wrote {len(indices)} clips to {folder}.')
    return 0


def write_clip(item: dict, preprocessor: nn.Module, visualizer: AVSLocalVisualizer, folder: Path, prefix: str,
               suffix: str) -> AVDataSample:
    """Draw one item of the data set and write its sound, where more than the log-mel is known of it.

    Args:
        item: Of a data set that keeps the sound.
        preprocessor: The model's.
        visualizer: Draws the sheet.
        folder: Where ``<prefix><video_id><suffix>.png`` and ``.wav`` go.
        prefix: Beginning of the files' names.
        suffix: End of their names.

    Returns:
        The item's data sample.
    """
    batch = preprocessor(pseudo_collate([item]), training=True)
    sample = batch['data_samples'][0]
    name = f'{prefix}{sample.video_id}{suffix}'.replace('/', '_')
    sheet = visualizer.draw_datasample(denormalised(batch['inputs']['img'], preprocessor), sample,
                                       log_mel=batch['inputs']['audio'].numpy(), draw_pred=False)
    write_picture(folder / f'{name}.png', sheet)
    if sample.get('sound') is not None:
        write_sound(folder / f'{name}.wav', sample.sound)
    return sample


def denormalised(img, preprocessor: nn.Module) -> list[np.ndarray]:
    """RGB pictures from the network's input.

    Args:
        img: Normalised frames. Shape (N, 3, H, W), float.
        preprocessor: The module that normalised them.

    Returns:
        N pictures of shape (H, W, 3), uint8; wrong colours here are wrong colours for the network.
    """
    img = img * preprocessor.std + preprocessor.mean
    pictures = img.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(picture) for picture in pictures]


if __name__ == '__main__':
    sys.exit(main())
