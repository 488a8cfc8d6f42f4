"""Predictions over many images: what of them is done, and the files about all images together."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from sclip_lightning.data.reading.images import ImageFile, check_images, stamp_of, turned_size
from sclip_lightning.data.reading.prepared import PreparedImage
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.errors import DataError, RunError
from sclip_lightning.exports import TOLERANCE, write_coco, write_polygons
from sclip_lightning.exports.label_maps import exported
from sclip_lightning.files import replacing, write_text
from sclip_lightning.jobs.job import ImageJob
from sclip_lightning.jobs.manifest import COMPLETE, Kind
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.pictures.png import write_png
from sclip_lightning.prediction import Prediction
from sclip_lightning.records.artefacts import BACKGROUND, CLASSES, CONFIG, LABELS, OVERLAYS, PREDICTIONS, SHARES
from sclip_lightning.records.predicted import PredictedImage, PredictedImages
from sclip_lightning.reports.cells import csv_cell
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["ChosenClasses", "Export", "PredictionJob", "class_table"]

Export = Literal["coco", "polygons"]


@dataclass
class ChosenClasses:
    """The classes of a job.

    Attributes:
        vocabulary: They; where words for a background are to be chosen, with the published ones until they are.
        words: Those that were chosen.
    """

    vocabulary: Vocabulary
    words: Sequence[str] = ()


class Read(NamedTuple):
    """An image that was read, and what its files were then."""

    image: PreparedImage
    stamp: str


class Made(NamedTuple):
    """What is to be written of an image, and what its files were when it was read."""

    prediction: Prediction
    stamp: str


@dataclass(frozen=True, kw_only=True)
class PredictionJob(ImageJob[Segmentor, Read, Made, tuple[ShareTable, list[str]]]):
    """Predictions that are asked for; in the end there are shares, and why some images have none.

    Attributes:
        classes: The classes, as they are once the worker is loaded, by whose weights a background may be chosen.
        config: The configuration with all defaults, as text; asked for once the worker is loaded, which settles it.
        exports: Formats to write in the end.
        tolerance: Of exported polygons, in pixels.
        maps: Segment maps that are read with the images; None where no part reads any.
        check_fit: Raises DataError where the largest of some images does not fit into memory; None to look later.
    """

    kind = Kind(
        command="sclip predict",
        results="predictions",
        work="predicting",
        bar="Segmenting",
        written=PREDICTIONS,
        settings=CONFIG,
    )

    classes: ChosenClasses
    config: Callable[[], str]
    exports: Sequence[Export] = ()
    tolerance: float = TOLERANCE
    maps: SegmentMaps | None = None
    check_fit: Callable[[Sequence[ImageFile]], None] | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self.classes.vocabulary

    def check_headers(self, files: Sequence[ImageFile]) -> None:
        """Raise DataError where a file holds no image, has no segment map of its size, or does not fit in memory."""
        check_images(files, self.maps)
        if self.check_fit is not None:
            self.check_fit(files)

    def made_with(self, worker: Segmentor) -> dict[str, Any]:
        """What labels depend on."""
        return protocol_of(worker, self.vocabulary) | (self.maps.describe() if self.maps else {})

    def environment(self, worker: Segmentor, device: torch.device) -> dict[str, str]:
        """Versions, and the device."""
        del worker
        return describe_environment(device)

    def remaining(self) -> list[int]:
        """Indices of the images without results, or of which a file is another now; see :class:`ImageJob`."""
        images = PredictedImages(self.folder)
        self._check_names(images)
        return [index for index, file in enumerate(self.files) if not self._is_done(file, images)]

    def prepare(self) -> None:
        """Write configuration, classes and shares, and make the folders."""
        write_text(self.folder / CONFIG, self.config())
        write_text(self.folder / CLASSES, class_table(self.vocabulary))
        if self.classes.words:
            write_text(self.folder / BACKGROUND, "".join(f"{word}\n" for word in self.classes.words))
        self.write_shares()
        for name in (LABELS, OVERLAYS):
            (self.folder / name).mkdir(exist_ok=True)

    def results_of(self, file: ImageFile) -> tuple[Path, Path]:
        """Label map and overlay of an image."""
        return self.folder / LABELS / f"{file.name}.png", self.folder / OVERLAYS / f"{file.name}.png"

    def weight(self, worker: Segmentor, pixels: int) -> int:
        """RGB and labels; segment map, and the network's input where it has the image's size."""
        resized = worker.settings(self.vocabulary).protocol.short_side != 0
        return pixels * (3 + 2 + (0 if self.maps is None else 8) + (0 if resized else 12))

    def read(self, worker: Segmentor, file: ImageFile) -> Read:
        """Read an image, and its segment map where parts read one."""
        stamp = self._stamp_of(file)
        regions = None if self.maps is None else self.maps.read(file.map_names, turned_size(file.path))
        return Read(worker.prepare(file.path, self.vocabulary, regions=regions), stamp)

    def make(self, worker: Segmentor, file: ImageFile, read: Read) -> Made:
        """Segment an image."""
        del file
        return Made(worker.predict(read.image, self.vocabulary).labels_only(), read.stamp)

    def write(self, file: ImageFile, made: Made) -> PredictedImage:
        """Write label map and overlay, in this order."""
        labels, overlay = self.results_of(file)
        prediction = made.prediction
        prediction.save(labels)
        write_png(overlay, np.asarray(prediction.overlay(file.name)))
        height, width = prediction.labels.shape
        pixels = tuple(prediction.counts().tolist())
        return PredictedImage(str(file.path), file.name, (height, width), pixels, made.stamp)

    def skipped(self, file: ImageFile, problem: str) -> PredictedImage:
        """What is recorded of an image that gets no results."""
        return PredictedImage(str(file.path), file.name, skipped=problem)

    def write_shares(self) -> ShareTable:
        """Write ``shares.csv``: the images that have results, in the order of the images."""
        with (
            replacing(self.folder / SHARES) as temporary,
            ShareTable(temporary, self.vocabulary.names) as table,
        ):
            for image in self._images():
                table.add(Path(image.path), image.id, image.size, image.shares)
        return table

    def done(self) -> int:
        """Number of images that have results."""
        return len(PredictedImages(self.folder).done)

    def pause(self) -> int:
        """Write what is done so far; returns the number of images."""
        images = self.write_shares().images
        self.note(images)
        return images

    def finish(self) -> tuple[ShareTable, list[str]]:
        """Write all that is about all images together; returns the shares, and why images have none."""
        table, images = self.write_shares(), PredictedImages(self.folder)
        paths = [str(file.path) for file in self.files]
        skipped = [images.skipped[path] for path in paths if path in images.skipped]
        if table.images:
            names, palette = self.vocabulary.names, self.vocabulary.palette
            classes = exported(names, palette, self.vocabulary.has_background)
            if "coco" in self.exports:
                write_coco(self.folder, self._images, classes)
            if "polygons" in self.exports:
                write_polygons(self.folder, self._images(), classes, self.tolerance)
        self.note(table.images, COMPLETE, skipped)
        if not table.images:
            raise DataError(f"None of the {len(paths)} images could be segmented. The first: {skipped[0]}")
        return table, skipped

    def _images(self) -> Iterator[PredictedImage]:
        return PredictedImages(self.folder).of(str(file.path) for file in self.files)

    def _is_done(self, file: ImageFile, images: PredictedImages) -> bool:
        known = images.done.get(str(file.path))
        return known is not None and known[1] == self._stamp_of(file) and self.has_results(file)

    def _stamp_of(self, file: ImageFile) -> str:
        """Size and time of the last change of an image's file, and of its segment map's where one is read."""
        if self.maps is None:
            return stamp_of(file.path)
        path = self.maps.path_of(file.map_names)
        return f"{stamp_of(file.path)},{stamp_of(path) if path else ''}"

    def _check_names(self, images: PredictedImages) -> None:
        names = {str(file.path): file.name for file in self.files}
        other = [path for path, (name, _) in images.done.items() if names.get(path) != name]
        if other:
            path = other[0]
            is_now = f"would be called {names[path]} now" if path in names else "is not among those given now"
            more = f" ({len(other) - 1} more are like that)" if other[1:] else ""
            msg = (
                f"{self.folder} holds results of other images: {path}, called {images.done[path][0]}, {is_now}{more}. "
                "Give the same --images, with others after them where there are more, another --output_dir, or "
                "--overwrite to delete what is there and start afresh."
            )
            raise RunError(msg)


def class_table(vocabulary: Vocabulary) -> str:
    """The classes with their indices, names and colours, as a CSV file."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["index", "class", "names", "red", "green", "blue"])
    for index, (name, words) in enumerate(zip(vocabulary.names, vocabulary.synonyms, strict=True)):
        writer.writerow([index, csv_cell(name), csv_cell(", ".join(words)), *vocabulary.palette[index].tolist()])
    return text.getvalue()


def protocol_of(segmentor: Segmentor, vocabulary: Vocabulary) -> dict[str, Any]:
    """Everything that labels depend on, besides images."""
    numbers, model = segmentor.settings(vocabulary), segmentor.sliding_window(vocabulary)
    return {
        "classes": [list(names) for names in vocabulary.synonyms],
        "class_names": list(vocabulary.names),
        "has_background": vocabulary.has_background,
        "short_side": numbers.protocol.short_side,
        "templates": list(numbers.templates),
        **describe_segmentor(model),
        **({"refine_side": model.refine_side} if model.refines_maps else {}),  # images may be added to a folder
        "architecture": segmentor.clip.architecture,
        "architecture_sha256": segmentor.clip.configuration_sha256[:12],
        "weights": segmentor.clip.weights,
        "weights_sha256": segmentor.clip.fingerprint[:12],
        "precision": segmentor.precision,
    }
