"""Lay the first principal components of feature maps over the frames, as in the paper's Fig. 9 (section V-E).

By default the maps before and after the Contextual Integration Pyramid are shown: the neck's output at stride 8 and
the mask feature.

Example:
    python tools/analysis_tools/vis_features.py configs/avs_mamba/pvt_ms3.py best.pth --num 4 --out work_dirs/features
    python tools/analysis_tools/vis_features.py configs/avs_mamba/pvt_ms3.py best.pth --modules backbone:1 neck:2
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmavs.engine.launch import load_config
from mmavs.utils.building import SPLITS, build_dataset, build_model
from mmavs.utils.safe_load import use_safe_checkpoint_loading
from mmavs.visualization import (
    Page,
    PictureRow,
    class_legend,
    feature_overlay,
    highlight_small,
    principal_components,
    write_picture,
)

# Rows by default -> their names on the page, after the Contextual Integration Pyramid.
DEFAULT_MODULES = {'neck:1': 'before CIP', 'decode_head.pixel_decoder': 'after CIP'}


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('checkpoint', help='weights of the whole model, or "none" for random ones')
    parser.add_argument('--modules', nargs='+', default=list(DEFAULT_MODULES), metavar='NAME[:INDEX]',
                        help='modules by name; INDEX picks one of several outputs (default: %(default)s)')
    parser.add_argument('--components', type=int, choices=[1, 3], default=1,
                        help='1: heat map of the first component; 3: the first three as red, green, blue (default: 1)')
    parser.add_argument('--factor', type=float, default=0.7, help='weight of the colours, 0 to 1 (default: 0.7)')
    parser.add_argument('--split', choices=SPLITS, default='test', help='default: test')
    parser.add_argument('--num', type=int, default=4, help='number of clips (default: 4)')
    parser.add_argument('--start', type=int, default=0, help='first clip (default: 0)')
    parser.add_argument('--cell-width', type=int, default=180, help='width of a picture in pixels (default: 180)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--out', default='work_dirs/features', help='folder (default: work_dirs/features)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='open checkpoints that execute code when they are loaded; only for files of your own')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    use_safe_checkpoint_loading(trust=args.trust_checkpoint)
    if not 0 <= args.factor <= 1:
        parser.error(f'--factor {args.factor} must lie in 0..1.')
    if args.cell_width < 16:
        parser.error(f'--cell-width {args.cell_width} must be at least 16.')
    try:
        cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
        model = build_model(cfg, None if args.checkpoint == 'none' else args.checkpoint, args.device)
        wanted = [parse_module(text, model) for text in args.modules]
        dataset = build_dataset(cfg, args.split, pipeline_of='test')
        if args.num < 1 or not 0 <= args.start < len(dataset):
            raise ValueError(f'--start {args.start} --num {args.num}: the {args.split} split has clips 0 to '
                             f'{len(dataset) - 1}.')
    except (FileNotFoundError, ValueError, KeyError) as error:
        parser.error(str(error))
    for index in range(args.start, min(args.start + args.num, len(dataset))):
        try:
            name, picture = draw_clip(model, dataset[index], dataset.metainfo, wanted, args.components, args.factor,
                                      args.cell_width)
        except ValueError as error:
            parser.error(str(error))
        path = Path(args.out) / f'{name}.png'
        write_picture(path, picture)
        print(f'Wrote {path}.', flush=True)
    return 0


def draw_clip(model: nn.Module, item: dict, metainfo: dict, wanted: list[tuple[str, int | None]], components: int,
              factor: float, cell_width: int) -> tuple[str, np.ndarray]:
    """Run the model on one clip and draw frames, truth and one row per module.

    Args:
        model: The segmentor.
        item: Item of the data set, through the test pipeline.
        metainfo: The data set's, with ``classes`` and ``palette``.
        wanted: (module, index of its output or None) per row.
        components: 1 or 3.
        factor: Weight of the colours over the frames.
        cell_width: Width of a picture in pixels.

    Returns:
        File name of the clip, and the page. Shape (height, width, 3), uint8, RGB.

    Raises:
        ValueError: If a module was not run or its output is no feature map.
    """
    batch = pseudo_collate([item])
    with torch.no_grad(), recorded_outputs(model, {name for name, _ in wanted}) as outputs:
        sample = model.test_step(batch)[0]
    # The network's own input: features and frames lie on each other whatever the pipeline did. It is BGR.
    frames = batch['inputs']['img'][0][:, [2, 1, 0]].permute(0, 2, 3, 1).contiguous().numpy()
    size = round(cell_width * frames.shape[1] / frames.shape[2]), cell_width
    small = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
    rows, legend = [PictureRow('frame', small)], []
    if 'gt_sem_seg' in sample:
        masks = sample.gt_sem_seg.data.cpu().numpy()
        named = len(metainfo.get('classes', ())) > 2
        palette = metainfo['palette'] if named else None
        legend = class_legend(masks, metainfo['classes'], palette) if named else []
        rows.append(PictureRow('ground truth', [highlight_small(frame, mask, size, palette)
                                                for frame, mask in zip(frames, masks, strict=True)]))
    for name, position in wanted:
        label = name if position is None else f'{name}:{position}'
        if name not in outputs:
            raise ValueError(f'--modules {label}: the model did not call this module.')
        scores = principal_components(pick(outputs[name], position, label, len(frames)).cpu().float(), components)
        rows.append(PictureRow(DEFAULT_MODULES.get(label, label), feature_overlay(small, scores, factor)))
    page = Page(title=str(sample.video_id), subtitle=f'principal components: {components}', rows=rows, legend=legend)
    return str(sample.video_id).replace('/', '_'), page.draw()


def parse_module(text: str, model: nn.Module) -> tuple[str, int | None]:
    """Split ``NAME[:INDEX]`` and check that the model has the module.

    Raises:
        ValueError: If it has not, or the index is no number; the message lists near names.
    """
    name, _, index = text.partition(':')
    if index and not index.lstrip('-').isdigit():
        raise ValueError(f'--modules {text}: {index!r} is no number; write NAME:INDEX, e.g. neck:1.')
    names = [known for known, _ in model.named_modules() if known]
    if name not in names:
        parent = name.rsplit('.', 1)[0] if '.' in name else ''
        near = [known for known in names if known.rpartition('.')[0] == parent] or [
            known for known in names if '.' not in known]
        raise ValueError(f'--modules {text}: the model has no module {name!r}; there are {", ".join(near)}.')
    return name, int(index) if index else None


@contextmanager
def recorded_outputs(model: nn.Module, names: set[str]) -> Iterator[dict[str, object]]:
    """Keep what the named modules return while the context is open (their last call)."""
    outputs: dict[str, object] = {}
    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(
        lambda module, inputs, output, name=name: outputs.__setitem__(name, output)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def pick(output: object, position: int | None, text: str, num_frames: int) -> Tensor:
    """The feature map (N, C, h, w) among a module's outputs.

    Raises:
        ValueError: If the output is no such map; the message says what was found.
    """
    if isinstance(output, (tuple, list)):
        if position is None or not -len(output) <= position < len(output):
            raise ValueError(f'--modules {text}: the module returns {len(output)} outputs; choose one with :0 to '
                             f':{len(output) - 1}.')
        output = output[position]
    if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != num_frames:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f'--modules {text}: the output is {found}; a feature map ({num_frames}, C, h, w) is needed.')
    return output


if __name__ == '__main__':
    sys.exit(main())
