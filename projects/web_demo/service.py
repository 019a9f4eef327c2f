"""What the web demo does with an upload, without any web framework."""

import re
import shutil
import tempfile
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mmavs.apis import AVSInferencer, ClipPlan, MediaError, NoSoundError, make_source, write_overlay_film
from mmavs.apis.blending import InstantPrediction
from mmavs.apis.frame_painter import FramePainter
from mmavs.apis.overlay_film import FilmOptions
from mmavs.visualization import write_masks
from mmavs.visualization.overlay import fit_mask

# Longer side of the pictures that are shown, in pixels.
SHOWN = 480


@dataclass(frozen=True)
class Limits:
    """What is taken.

    Attributes:
        megabytes: Largest upload. Default 50.
        seconds: Longest film. Default 60.
    """

    megabytes: float = 50
    seconds: float = 60


@dataclass
class Result:
    """What a visitor gets.

    Attributes:
        film: The film with masks over it.
        archive: Zip file of the masks, ``<k>.png``.
        pictures: For each second a picture with its mask, (H, W, 3) uint8 RGB, and its caption.
        summary: One line of text.
    """

    film: Path
    archive: Path
    pictures: list[tuple[np.ndarray, str]]
    summary: str


@dataclass
class Service:
    """Predicts uploads.

    Attributes:
        models: Name -> inferencer.
        folder: Results are written here, each into a folder of its own.
        limits: What is taken.
        keep_seconds: Results are deleted after this time. Default 600.
    """

    models: dict[str, AVSInferencer]
    folder: Path
    limits: Limits = field(default_factory=Limits)
    keep_seconds: float = 600

    def predict(self, upload: str | Path | None, model: str, clip_seconds: int = 5, silent: bool = False) -> Result:
        """Predict one upload and delete it, whatever comes of it but a missing sound, which ``silent`` mends.

        Args:
            upload: The file, or None where the visitor gave none.
            model: Name of the model.
            clip_seconds: Length of the clips that the model sees. Default 5.
            silent: Take a film without sound as silent. Default False.

        Returns:
            The result; its files stay for ``keep_seconds``.

        Raises:
            NoSoundError: If the upload has no sound and is not ``silent``; it is kept for another try.
            MediaError: If the upload cannot be used or the model is unknown; the message names no path of the server.
        """
        if upload is None:
            raise MediaError('Choose or record a film first.')
        upload, keep = Path(upload), False
        try:
            if not upload.is_file():
                raise MediaError('The film was deleted after its prediction: upload it again.')
            if model not in self.models:
                raise MediaError('There is no such model.')
            if upload.stat().st_size > self.limits.megabytes * 1_000_000:
                raise MediaError(f'The film is larger than {self.limits.megabytes:g} MB.')
            return self._predict(upload, self.models[model], clip_seconds, 'silence' if silent else 'require')
        except MediaError as error:
            keep = isinstance(error, NoSoundError)
            raise type(error)(_without_path(str(error), upload)) from None
        finally:
            if not keep:
                upload.unlink(missing_ok=True)

    def _predict(self, upload: Path, inferencer: AVSInferencer, clip_seconds: int, audio: str) -> Result:
        folder = Path(tempfile.mkdtemp(prefix='result-', dir=self.folder))
        try:
            kept: list[InstantPrediction] = []
            film = folder / 'overlay.mp4'
            report = write_overlay_film(
                inferencer, upload, film, FilmOptions(plan=ClipPlan(clip_seconds), audio=audio,
                                                      longest=self.limits.seconds), on_instant=kept.append)
            labels, painter = inferencer.labels, FramePainter(inferencer.labels)
            frames = ((seconds, _small(frame)) for seconds, frame in make_source(upload, audio=audio).frames())
            pictures = [(painter.paint(frame, fit_mask(pred.mask, frame.shape[:2])), f'{float(seconds):.2f} s')
                        for (seconds, frame), pred in zip(frames, kept, strict=True)]
            write_masks(folder / 'masks', np.stack([pred.mask for pred in kept]), labels.num_classes, labels.palette)
            archive = _pack(folder / 'masks', folder / 'masks.zip')
        except BaseException:
            shutil.rmtree(folder)
            raise
        forget = threading.Timer(self.keep_seconds, shutil.rmtree, (folder, True))
        forget.daemon = True
        forget.start()
        share = np.mean([(pred.mask > 0).mean() for pred in kept])
        return Result(film, archive, pictures, f'{report.frames} frames, {report.instants} masks; {share:.1%} of the '
                                               'picture sounds on average.')


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame no larger than is shown."""
    factor = min(1.0, SHOWN / max(frame.shape[:2]))
    return cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else frame


def _pack(folder: Path, target: Path) -> Path:
    """Put the files of a folder into a zip file, and remove the folder."""
    with zipfile.ZipFile(target, 'w') as archive:
        for path in sorted(folder.iterdir(), key=lambda path: int(path.stem)):
            archive.write(path, path.name)
    shutil.rmtree(folder)
    return target


def _without_path(message: str, upload: Path) -> str:
    """The message with the words "The film" where the server's path stood, and without hints for programmers."""
    message = re.sub(r"; pass audio='silence'.*", '; tick "No sound" and start again.', message)
    return message.replace(str(upload), 'The film')
