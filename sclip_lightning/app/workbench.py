"""What the page computes, without the page: one image, words and numbers in, labels and probabilities out."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sclip_lightning.app.choices import Choices
from sclip_lightning.data.reading.images import to_rgb
from sclip_lightning.data.reading.pixels import opened
from sclip_lightning.errors import ConfigError, DataError, SclipError
from sclip_lightning.model.likeness import warning_of
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.recall import Recall
from sclip_lightning.prediction import Prediction
from sclip_lightning.segmentor import Background, Segmentor
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["PROBE", "Answer", "Limits", "Request", "Workbench"]

R = TypeVar("R")

#: Segmentors and decoded images that are kept ready.
READY, IMAGES = 32, 4
#: Kinds of files that are opened: Pillow hands some others, such as EPS, to programs outside.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF")
ADVICE = "Give a JPEG or PNG file."
#: Classes that methods are tried with at the start.
PROBE = "this, that"


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
        megapixels: Most million pixels of an image.
        megabytes: Most of an uploaded file, in 10^6 bytes.
        names: Most names, synonyms included: each is embedded with every template.
    """

    megapixels: float = 16.0
    megabytes: float = 32.0
    names: int = 300


@dataclass(frozen=True)
class Request:
    """Everything that a picture on the page depends on.

    Attributes:
        image: Path of the uploaded file.
        classes: As for ``sclip predict``: names split by commas, synonyms by = and |.
        background: Add a background.
        method: One of the page's methods.
        parts: Titles of the parts that are on.
        threshold: Pixels less certain become background; None for the published value. Counts with a background only.
        logit_scale: 1 / temperature; None for the published value.
    """

    image: str
    classes: str
    background: bool = False
    method: str = ""
    parts: tuple[str, ...] = ()
    threshold: float | None = None
    logit_scale: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the page shows.

    Attributes:
        prediction: Labels, colours, names.
        words: The names of each class.
        seconds: That it took.
        ran: Whether the image's network ran; otherwise all its features were there already.
        notes: Sentences that the user should read.
    """

    prediction: Prediction
    words: tuple[tuple[str, ...], ...]
    seconds: float
    ran: bool
    notes: tuple[str, ...]


class Workbench:
    """Segments images by request, one at a time, and keeps their features.

    Args:
        segmentor: Made with the options that the page starts with.
        choices: Methods and parts; those that cannot run with the segmentor's weights are left out.
        limits: What is refused.
        memory: Bytes of features that are kept, on the segmentor's device.
        background: What the background is made of where one is asked for; see :meth:`Segmentor.predict`.
    """

    def __init__(
        self,
        segmentor: Segmentor,
        choices: Choices,
        limits: Limits | None = None,
        memory: int = 2**31,
        background: Background = True,
    ) -> None:
        self._background = background
        self.limits = limits or Limits()
        segmentor.recall = self.recall = Recall(memory)
        self._first = segmentor
        self._lock = Lock()
        self._made = lru_cache(READY)(self._make)
        self._read = lru_cache(IMAGES)(_read)
        self.choices = choices
        self.choices = Choices(self._runnable(choices.methods))
        self.parts = [title for title in choices.parts if self._fits(title)]

    def segment(self, request: Request) -> Answer:
        """Segment an image.

        Raises:
            SclipError: Whatever is wrong with image, classes or numbers, in a sentence for the user.
        """
        with self._lock:
            start, before = time.perf_counter(), self._runs()
            image = self._image(request)
            segmentor, vocabulary = self._segmentor(request)
            prediction = self._named(request, lambda: segmentor.predict(image, vocabulary))
            ran = self._runs() > before
            seconds = time.perf_counter() - start
            notes = [*segmentor.settings(vocabulary).warnings, *warning_of(segmentor.alike(vocabulary))]
            return Answer(prediction, vocabulary.synonyms, seconds, ran, tuple(notes))

    def probability(self, request: Request, index: int) -> npt.NDArray[np.float32]:
        """[H, W] float32, the probability of one class of a request.

        Raises:
            SclipError: As :meth:`segment`.
        """
        with self._lock:
            segmentor, vocabulary = self._segmentor(request)
            if not 0 <= index < len(vocabulary.names):
                msg = f"There is no class {index} among {len(vocabulary.names)}. Reload the page."
                raise DataError(msg)
            image = self._image(request)
            return self._named(request, lambda: segmentor.predict(image, vocabulary).probabilities[index])

    def published(self, request: Request) -> tuple[float, float, bool]:
        """Logit scale and threshold where the user sets none, and whether the classes have a background.

        Raises:
            SclipError: As :meth:`segment`.
        """
        with self._lock:
            segmentor, vocabulary = self._segmentor(replace(request, threshold=None, logit_scale=None))
            protocol = segmentor.settings(vocabulary).protocol
            return protocol.logit_scale, protocol.prob_threshold, vocabulary.has_background

    def _runs(self) -> int:
        """How often a network of images has run: names of their methods have a dot."""
        return sum(count for name, count in self.recall.computed.items() if "." in name)

    def _image(self, request: Request) -> npt.NDArray[np.uint8]:
        return self._named(request, lambda: self._read(request.image, self.limits.megapixels))

    def _segmentor(self, request: Request) -> tuple[Segmentor, Vocabulary]:
        vocabulary = Vocabulary.parse(request.classes, request.background)
        names = sum(map(len, vocabulary.synonyms[request.background :]))  # those of a background are not the user's
        if names > self.limits.names:
            msg = f"These are {names} names; this page takes {self.limits.names} at most. Leave some out."
            raise DataError(msg)
        if request.background:
            vocabulary = self._first.vocabulary(request.classes, self._background)
        threshold = request.threshold if vocabulary.has_background else None
        method = request.method or next(iter(self.choices.methods))
        return self._made(method, tuple(request.parts), threshold, request.logit_scale), vocabulary

    def _make(self, method: str, parts: tuple[str, ...], threshold: float | None, scale: float | None) -> Segmentor:
        options = self.choices.options(method, parts)
        if threshold is not None:
            options = replace(options, prob_threshold=threshold)
        if scale is not None:
            options = replace(options, logit_scale=scale)
        return self._changed(options)

    def _changed(self, options: SegmentorOptions) -> Segmentor:
        fixed = ("architecture", "weights")
        return self._first.changed(**{f.name: getattr(options, f.name) for f in fields(options) if f.name not in fixed})

    def _runnable(self, methods: Mapping[str, SegmentorOptions]) -> dict[str, SegmentorOptions]:
        """The methods whose parts fit the weights, and have numbers for classes of the user's own.

        Those that need networks which the page was not started with are not among them: looking would fetch these. Nor
        are those that read segment maps, which the page has none of.
        """
        found, loaded = {}, self._first.options.parts
        for number, (name, options) in enumerate(methods.items()):
            if any(part.networks and part not in loaded for part in options.parts):
                continue
            readers = options.region_readers
            if readers and number == 0:  # the user's own
                msg = f"{' and '.join(readers)}: this page reads no segment maps. Leave that out, or use sclip predict."
                raise ConfigError(msg)
            if readers:
                continue
            try:
                made = self.choices.options(name, self.choices.parts_on(name))
                self._changed(made).sliding_window(Vocabulary.parse(PROBE))
            except SclipError:
                if number == 0:
                    raise
            else:
                found[name] = options
        return found

    def _fits(self, title: str) -> bool:
        """Whether a part runs with the weights, in a method that has a place for it."""
        part = self.choices.parts[title]
        tower = self._first.sliding_window(Vocabulary.parse(PROBE)).tower
        try:
            part.fitted(tower.depth, tower.patch_size)
        except SclipError:
            return False
        inside = part.option.startswith("--model.decoder.")
        return not inside or any(
            hasattr(options.decoder, part.option.rpartition(".")[2]) for options in self.choices.methods.values()
        )

    def _named(self, request: Request, compute: Callable[[], R]) -> R:
        """Call the file in errors what the user calls it: where it was put is nobody's business."""
        try:
            return compute()
        except DataError as error:
            path = Path(request.image)
            raise DataError(str(error).replace(str(path), path.name)) from error


def _read(path: str, megapixels: float) -> npt.NDArray[np.uint8]:
    """Decode an image that is not too large."""
    with opened(Path(path), advice=ADVICE) as file:
        (width, height), kind = file.size, file.format
    if kind not in FORMATS:
        raise DataError(f"{path} is a {kind} file, which this page does not open. {ADVICE}")
    if width * height > megapixels * 1e6:
        msg = (
            f"{path} has {width} x {height} pixels, {width * height / 1e6:.1f} million; this page takes "
            f"{megapixels:g} million at most (--max_megapixels). Make the image smaller, or use sclip predict."
        )
        raise DataError(msg)
    return to_rgb(path)
