"""Web page of audio-visual segmentation: upload or record a clip, see what sounds.

Example: ``python projects/web_demo/app.py --model pvt_ms3 ms3.pth``
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before gradio is imported: it reads these once. No request leaves this machine.
os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
os.environ.setdefault('HF_HUB_OFFLINE', '1')

from service import Limits, Service

from mmavs.apis import AVSInferencer, MediaError

# Gradio's gallery has square cells of a fixed height, with the captions on the pictures: here cells take the shape of
# the film, captions stand below.
STYLE = """
#pictures .grid-wrap { height: auto; min-height: 0; max-height: none; overflow: auto; }
#pictures .thumbnail-lg { aspect-ratio: auto; height: auto; }
#pictures .caption-label { position: static; padding: 0; border: 0; box-shadow: none; background: none; }
"""
logger = logging.getLogger('web_demo')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', nargs=2, action='append', required=True, metavar=('CONFIG', 'WEIGHTS'),
                        help='config file or model name, and its checkpoint; may be given several times')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: the GPU if there is one)')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    parser.add_argument('--max-mb', type=float, default=50, help='largest upload (default: %(default)s)')
    parser.add_argument('--max-seconds', type=float, default=60, help='longest film (default: %(default)s)')
    parser.add_argument('--queue', type=int, default=8, help='films that may wait (default: %(default)s)')
    parser.add_argument('--keep-minutes', type=float, default=10,
                        help='how long results are kept (default: %(default)s)')
    return parser.parse_args(argv)


def build_app(service: Service) -> 'gradio.Blocks':  # noqa: F821
    """The page.

    Args:
        service: Predicts the uploads.

    Returns:
        Gradio's app, not yet started.
    """
    import gradio as gr

    limits = service.limits
    forget = max(1, round(service.keep_seconds))
    with gr.Blocks(title='What sounds?', delete_cache=(60, forget), analytics_enabled=False) as app:
        gr.Markdown('# What sounds?\nThe pixels that make the sound of a film, second by second. '
                    f'Up to {limits.seconds:g} s and {limits.megabytes:g} MB; uploads are deleted once predicted.')
        with gr.Row():
            with gr.Column():
                # Not mirrored: that would need the program ffmpeg on the server.
                upload = gr.Video(label='Film', sources=['upload', 'webcam'], include_audio=True,
                                  webcam_options=gr.WebcamOptions(mirror=False), elem_id='upload')
                model = gr.Dropdown(list(service.models), value=next(iter(service.models)), label='Model')
                clip_seconds = gr.Radio([5, 10], value=5, label='Seconds the model sees at once')
                silent = gr.Checkbox(label='No sound', info='predict a film without sound as silent',
                                     elem_id='silent')
                button = gr.Button('Mark what sounds', variant='primary', elem_id='start')
            with gr.Column():
                film = gr.Video(label='Film with masks', interactive=False, elem_id='film')
                summary = gr.Markdown(elem_id='summary')
                # Label and buttons would lie on the pictures.
                pictures = gr.Gallery(label='Each second', show_label=False, buttons=[], columns=4, height='auto',
                                      object_fit='contain', elem_id='pictures', format='png')
                archive = gr.File(label='Masks', elem_id='masks')
        button.click(lambda *values: answer(service, *values), [upload, model, clip_seconds, silent],
                     [upload, film, pictures, archive, summary], concurrency_limit=1, show_progress_on=film)
    return app


def answer(service: Service, upload: str | None, model: str, clip_seconds: int, silent: bool) -> tuple:
    """Predict a film; returns what the boxes for film, film with masks, pictures, masks and summary then show."""
    import gradio as gr
    try:
        result = service.predict(upload, model, int(clip_seconds), silent)
    except Exception as error:
        message = explain(error)
        gr.Warning(message)
        # An upload that was deleted leaves its place; one that can be tried again stays.
        left = gr.skip() if upload is not None and Path(upload).exists() else None
        return left, None, None, None, message
    return None, str(result.film), result.pictures, str(result.archive), result.summary


def explain(error: Exception) -> str:
    """What a visitor is told of an error: what is wrong with the film, but nothing of the server's inside."""
    if isinstance(error, MediaError):
        return str(error)
    logger.error('A film could not be predicted.', exc_info=error)
    return 'Something went wrong on the server; the film was not predicted.'


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that is gone at the end, even while a prediction still writes into it."""
    folder = Path(tempfile.mkdtemp(prefix='mmavs-web-'))
    try:
        yield folder
    finally:
        for _ in range(100):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.02)


def main(argv: list[str] | None = None) -> int:
    """Start the server; returns the exit code when it stops."""
    args = parse_args(argv)
    # Without this, SIGTERM, with which servers are stopped, ends Python on the spot and leaves all files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with private_folder() as folder:
        # Gradio keeps uploads and results here; so it all goes when the server stops.
        os.environ['GRADIO_TEMP_DIR'] = str(folder / 'gradio')
        try:
            import gradio as gr
        except ImportError:
            print('The web demo needs gradio: pip install -r projects/web_demo/requirements.txt', file=sys.stderr)
            return 1
        try:
            models = {_name(config): AVSInferencer(config, weights, args.device) for config, weights in args.model}
        except (ValueError, OSError, ImportError) as error:
            print(f'web_demo: {error}', file=sys.stderr)
            return 1
        results = folder / 'results'
        results.mkdir()
        service = Service(models, results, Limits(args.max_mb, args.max_seconds), 60 * args.keep_minutes)
        app = build_app(service)
        app.queue(max_size=args.queue, default_concurrency_limit=1)
        app.launch(server_name=args.host, server_port=args.port, max_file_size=round(args.max_mb * 1_000_000),
                   share=False, quiet=True, theme=gr.themes.Soft(), css=STYLE, prevent_thread_lock=True)
        print(f'The web demo is at http://{args.host}:{args.port}', flush=True)
        try:
            app.block_thread()
        except SystemExit:
            print('Stopped by SIGTERM.', flush=True)
    return 0


def _name(config: str) -> str:
    return Path(config).stem


if __name__ == '__main__':
    code = main()
    # Predictions run in threads that cannot be stopped; they must not write into the removed folder again.
    os._exit(code)
