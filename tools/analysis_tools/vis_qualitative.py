"""Compare the masks of several methods on the same clips, in the layout of the paper's Fig. 6 and 7.

Columns are the seconds of a clip; rows are the frames, the ground truth and one row per result folder; classes are
named at the foot. A result folder holds ``<video_id>/<frame>.png`` (0/255, or class indices), as ``tools/test.py``
writes it with ``--cfg-options default_hooks.visualization.mask_dir=DIR``; other projects' masks named in the same way
will do, too.

Example:
    python tools/analysis_tools/vis_qualitative.py configs/avs_mamba/pvt_ms3.py --results full no_mad --out figure.png
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction
from PIL import Image

from mmavs.engine.launch import load_config
from mmavs.utils.building import SPLITS, build_dataset
from mmavs.visualization import (
    Page,
    PictureRow,
    class_legend,
    colour_mask,
    highlight_small,
    read_frames,
    write_picture,
)
from mmavs.visualization.overlay import fit_mask


@dataclass
class Panel:
    """One clip of the figure.

    Attributes:
        title: Name of the clip.
        rows: T pictures of shape (H, W, 3), uint8, RGB each: frames, truth, method 1, method 2, ...
        legend: Colour and name of each class that occurs; empty for two classes.
    """

    title: str
    rows: list[list[np.ndarray]]
    legend: list[tuple[np.ndarray, str]] = field(default_factory=list)


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with the data set, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('--results', nargs='+', required=True, metavar='DIR', help='result folders, a row each')
    parser.add_argument('--names', nargs='+', help='a name per result folder (default: the folder names)')
    parser.add_argument('--videos', nargs='+', help='clips side by side (default: the first that all folders have)')
    parser.add_argument('--num', type=int, default=2, help='how many clips when --videos is not given (default: 2)')
    parser.add_argument('--style', choices=['mask', 'overlay'], default='mask',
                        help='masks alone, as in the paper, or over the dimmed frames (default: mask)')
    parser.add_argument('--cell-width', type=int, default=120, help='width of a picture in pixels (default: 120)')
    parser.add_argument('--split', choices=SPLITS, default='test', help='default: test')
    parser.add_argument('--out', default='qualitative.png', help='picture to write (default: qualitative.png)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    folders = [Path(folder) for folder in args.results]
    names = args.names or [folder.name for folder in folders]
    if len(names) != len(folders):
        parser.error(f'--names has {len(names)} names for {len(folders)} result folders.')
    if args.cell_width < 16 or args.num < 1:
        parser.error('--cell-width must be at least 16 and --num at least 1.')
    try:
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f'result folder {folder} does not exist.')
        cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
        dataset = build_dataset(cfg, args.split, pipeline_of='test')
        clips = choose_clips(dataset, args.videos, folders, args.num)
        panels = [draw_clip(dataset[index], folders, dataset.metainfo, args.style, args.cell_width) for index in clips]
    except (FileNotFoundError, ValueError, KeyError) as error:
        parser.error(str(error))
    write_picture(Path(args.out), figure(panels, ['raw image', 'ground truth', *names]))
    print(f'Wrote {args.out}.')
    return 0


def choose_clips(dataset, videos: list[str] | None, folders: list[Path], num: int) -> list[int]:
    """Indices of the clips to draw.

    Raises:
        ValueError: If a named clip is unknown, or no clip is in every folder.
    """
    known = {dataset.get_data_info(index)['video_id']: index for index in range(len(dataset))}
    if videos:
        unknown = [video for video in videos if video not in known]
        if unknown:
            raise ValueError(f'--videos {" ".join(unknown)}: not in this split, which has e.g. '
                             f'{", ".join(list(known)[:3])}.')
        return [known[video] for video in videos]
    common = [index for video, index in known.items() if all((folder / video).is_dir() for folder in folders)]
    if not common:
        raise ValueError(f'no clip of the split has a folder <video_id>/ in every one of '
                         f'{", ".join(map(str, folders))}.')
    return common[:num]


def draw_clip(item: dict, folders: Sequence[Path], metainfo: Mapping, style: str, cell_width: int) -> Panel:
    """The panel of one clip.

    Args:
        item: Item of the data set, through the test pipeline.
        folders: Result folders.
        metainfo: The data set's, with ``classes`` and ``palette``.
        style: 'mask' or 'overlay', see the command line.
        cell_width: Width of a picture in pixels.

    Returns:
        Its rows and its legend.

    Raises:
        FileNotFoundError, ValueError: If masks of the clip are missing or wrong, see :func:`read_masks`.
    """
    sample = item['data_samples']
    frames = read_frames(sample.img_path)
    size = max(8, round(cell_width * frames[0].shape[0] / frames[0].shape[1])), cell_width
    binary = len(metainfo.get('classes', ())) <= 2
    palette = None if binary else metainfo['palette']
    methods = [list(sample.gt_sem_seg.data.cpu().numpy())]
    methods += [read_masks(folder / sample.video_id, len(frames), binary) for folder in folders]
    panel = Panel(sample.video_id, [[cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]])
    for masks in methods:
        if style == 'mask':
            colours = (255, 255, 255) if binary else palette
            panel.rows.append([colour_mask(fit_mask(mask, size), colours) for mask in masks])
        else:
            panel.rows.append([highlight_small(frame, mask, size, palette)
                               for frame, mask in zip(frames, masks, strict=True)])
    if not binary:
        panel.legend = class_legend([mask for masks in methods for mask in masks], metainfo['classes'], palette)
    return panel


def read_masks(folder: Path, num_frames: int, binary: bool) -> list[np.ndarray]:
    """Read ``folder/*.png`` in the order of their last number.

    Args:
        folder: Masks of one clip.
        num_frames: How many there must be.
        binary: Everything above 0 becomes 1; otherwise the pixels are class indices.

    Returns:
        Class indices of shape (H, W), uint8.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If the number of masks differs from ``num_frames`` or a mask is a colour picture.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} does not exist; a result folder holds <video_id>/<frame>.png.')
    paths = sorted(folder.glob('*.png'), key=lambda path: int((re.findall(r'\d+', path.stem) or ['0'])[-1]))
    if len(paths) != num_frames:
        raise ValueError(f'{folder} has {len(paths)} masks, but the clip has {num_frames} frames.')
    masks = []
    for path in paths:
        mask = np.asarray(Image.open(path))
        if mask.ndim != 2:
            raise ValueError(f'{path} is a colour picture; masks must hold 0/255 or class indices.')
        masks.append((mask > 0).astype(np.uint8) if binary else mask.astype(np.uint8))
    return masks


def figure(panels: Sequence[Panel], names: Sequence[str]) -> np.ndarray:
    """Clips side by side, lettered (a), (b), ...; all rows get the height of the first clip's.

    Args:
        panels: The clips.
        names: A name per row.

    Returns:
        RGB picture. Shape (height, width, 3), uint8.
    """
    height = panels[0].rows[0][0].shape[0]
    pages = []
    for number, panel in enumerate(panels):
        rows = []
        for name, pictures in zip(names, panel.rows, strict=True):
            width = round(pictures[0].shape[1] * height / pictures[0].shape[0])
            fitted = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST) for picture in pictures]
            # A mask that reaches the edge would melt into the white page.
            rows.append(PictureRow(name if number == 0 else '', fitted, framed=True))
        letter = f'({chr(ord("a") + number)})'
        pages.append(Page(title=letter, subtitle=panel.title, rows=rows, legend=panel.legend, gap=4, margin=10).draw())
    tallest = max(len(page) for page in pages)
    pages = [np.pad(page, ((0, tallest - len(page)), (0, 0), (0, 0)), constant_values=255) for page in pages]
    return np.concatenate(pages, axis=1)


if __name__ == '__main__':
    sys.exit(main())
