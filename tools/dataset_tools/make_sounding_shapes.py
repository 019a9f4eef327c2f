"""Writes SoundingShapes, a small generated benchmark, in AVSBench's published layouts."""

import argparse
import sys

from mmavs.datasets.sounding_shapes import KINDS, SUBSET_FOLDERS, generate


def split_count(text: str) -> tuple[str, int]:
    """Parses ``train=300``."""
    split, _, count = text.partition('=')
    if not count.isdigit():
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form SPLIT=NUMBER, e.g. train=300')
    return split, int(count)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='folder that gets ' + ', '.join(SUBSET_FOLDERS.values()))
    parser.add_argument('--subset', nargs='+', choices=list(SUBSET_FOLDERS), default=['ms3'],
                        help='subsets to write (default: ms3)')
    parser.add_argument('--clips', nargs='+', type=split_count, metavar='SPLIT=NUMBER',
                        default=[('train', 300), ('val', 32), ('test', 64)],
                        help='clips of each split (default: train=300 val=32 test=64)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--image-size', type=int, default=224, help='height of the frames in pixels (default: 224)')
    parser.add_argument('--workers', type=int, default=2, help='processes (default: 2; 0: none but this one)')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS), help='kinds of shapes (default: all)')
    parser.add_argument('--write-log-mel', action='store_true', help="also write S4's and MS3's pickled log-mels")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Generates the subsets and prints, per split, the J of marking every shape: the line to beat."""
    args = parse_args(argv)
    for subset in args.subset:
        try:
            summary = generate(
                args.root, subset, clips=dict(args.clips), seed=args.seed, image_size=args.image_size,
                workers=args.workers, kinds=args.kinds, write_log_mel=args.write_log_mel)
        except (ValueError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        for split, score in summary['vision_only_J'].items():
            print(f'{subset} {split}: {summary["clips"][split]} clips, vision-only J {score:.2f} % (mark every shape)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
