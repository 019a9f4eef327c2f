"""Mark what sounds in a film: writes the film with masks over it, its own sound, and a strip with the log-mel.

Example: ``python demo/video_demo.py clip.mp4 --model pvt_ms3 --weights best.pth --out out.mp4``
"""

import argparse
import signal
import sys
import warnings

from mmavs.apis import AVSInferencer, ClipPlan, NoSoundError, write_overlay_film
from mmavs.apis.overlay_film import FilmOptions
from mmavs.apis.stage_timer import StageTimer
from mmavs.utils.large_pages import use_large_pages


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('film', help='film of any length, size, frame rate and codec that FFmpeg reads')
    parser.add_argument('--model', default='pvt_ms3', help='config file or model name (default: %(default)s)')
    parser.add_argument('--weights',
                        help='checkpoint of the whole model (default: the one that the model name stands for)')
    parser.add_argument('--random-weights', action='store_true',
                        help='go on without a checkpoint; the masks then mean nothing')
    parser.add_argument('--out', required=True, help='film to write: .mp4, .mov, .mkv or .webm')
    parser.add_argument('--fps', type=int, default=1,
                        help='masks per second; 1 are the published instants, second k + 15/16 (default: %(default)s)')
    parser.add_argument('--clip-seconds', type=int, choices=(5, 10), default=5,
                        help='length of the clips that the model sees (default: %(default)s)')
    parser.add_argument('--overlap', type=int, default=0, metavar='SECONDS',
                        help='shared by neighbouring clips, whose predictions are blended (default: %(default)s)')
    parser.add_argument('--audio', choices=('require', 'silence'), default='require',
                        help='a film without sound is an error, or taken as silent (default: %(default)s)')
    parser.add_argument('--between', choices=('blend', 'hold'), default='blend',
                        help='masks between two instants: go over, or show the nearer (default: %(default)s)')
    parser.add_argument('--no-strip', action='store_true', help='leave out the log-mel strip under the picture')
    parser.add_argument('--batch-size', type=int, default=1, help='clips in one forward pass (default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: the GPU if there is one)')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='open the checkpoint as a pickle that may run code')
    parser.add_argument('--profile', action='store_true', help='print where the time went')
    return parser.parse_args(argv)


def load_model(args: argparse.Namespace) -> AVSInferencer:
    """The model that the command line names, with its weights.

    Raises:
        ValueError: If there are none, and random ones were not asked for.
    """
    with warnings.catch_warnings():
        # Said below, as an error or as what was asked for.
        warnings.filterwarnings('ignore', message='AVSInferencer got no weights')
        inferencer = AVSInferencer(args.model, args.weights, args.device, trust_checkpoint=args.trust_checkpoint)
    if inferencer.is_random and not args.random_weights:
        raise ValueError(f'{args.model} comes without weights; pass --weights CHECKPOINT, or --random-weights to try '
                         'the program with masks that mean nothing.')
    return inferencer


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    args = parse_args(argv)
    use_large_pages()
    try:
        inferencer = load_model(args)
        options = FilmOptions(
            plan=ClipPlan(args.clip_seconds, args.overlap), fps=args.fps, audio=args.audio, between=args.between,
            strip=not args.no_strip, batch_size=args.batch_size, show_progress=True)
        timer = StageTimer()
        report = write_overlay_film(inferencer, args.film, args.out, options, timer)
    except NoSoundError as error:
        # The library's advice, in the words of this command line.
        print('video_demo:', str(error).replace("pass audio='silence'", 'pass --audio silence'), file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f'video_demo: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {report.frames} frames, {report.instants} masks, sound {report.sound}.')
    if args.profile:
        print(timer.table(report.frames))
    return 0


def stop(number: int, _: object) -> None:
    """Leave because of a signal, by way of the clean-up, which a second signal does not cut short."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == '__main__':
    # Python's own way of leaving on SIGTERM is at once, with the unfinished film left on the disk.
    signal.signal(signal.SIGTERM, stop)
    sys.exit(main())
