"""What is to be done in a folder of predictions, what of it is done, and the files about all images together."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Literal

from sclip_lightning.data.reading.images import ImageFile, stamp_of
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import RunError
from sclip_lightning.exports import TOLERANCE, write_coco, write_polygons
from sclip_lightning.exports.label_maps import exported
from sclip_lightning.files import replacing, write_text
from sclip_lightning.predicting.settings import COMPLETE, UNFINISHED, PredictionSettings
from sclip_lightning.records.artefacts import BACKGROUND, CLASSES, CONFIG, LABELS, OVERLAYS, SHARES
from sclip_lightning.records.predicted import PredictedImage, PredictedImages
from sclip_lightning.records.run import Session
from sclip_lightning.records.whole import is_whole
from sclip_lightning.reports.cells import csv_cell
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["Export", "OnError", "PredictionJob", "class_table"]

OnError = Literal["stop", "skip"]
Export = Literal["coco", "polygons"]


@dataclass(frozen=True)
class PredictionJob:
    """What is asked for. What it writes about all images together, the first process alone writes.

    Attributes:
        files: The images.
        vocabulary: The classes.
        folder: Where everything is written.
        config: The configuration with all defaults, as text.
        on_error: What to do about an image that cannot be read or segmented.
        exports: Formats to write in the end.
        tolerance: Of exported polygons, in pixels.
        maps: Segment maps that are read with the images; None where no part reads any.
        words: Names of a background that was chosen for the classes, to be written down.
    """

    files: Sequence[ImageFile]
    vocabulary: Vocabulary
    folder: Path
    config: str
    on_error: OnError = "stop"
    exports: Sequence[Export] = ()
    tolerance: float = TOLERANCE
    maps: SegmentMaps | None = None
    words: Sequence[str] = ()

    def results_of(self, name: str) -> tuple[Path, Path]:
        """Label map and overlay of an image."""
        return self.folder / LABELS / f"{name}.png", self.folder / OVERLAYS / f"{name}.png"

    def stamp_of(self, file: ImageFile) -> str:
        """Size and time of the last change of an image's file, and of its segment map's where one is read."""
        if self.maps is None:
            return stamp_of(file.path)
        path = self.maps.path_of(file.map_names)
        return f"{stamp_of(file.path)},{stamp_of(path) if path else ''}"

    def remaining(self) -> list[int]:
        """Indices of the images without results, or of which a file is another now.

        Raises:
            RunError: The folder holds results of other images, or under other names.
        """
        images = PredictedImages(self.folder)
        self._check_names(images)
        return [index for index, file in enumerate(self.files) if not self._is_done(file, images)]

    def begin(self, protocol: dict[str, object], session: Session) -> tuple[int, list[int]]:
        """Say in the folder what it is going to hold, before the first image.

        Args:
            protocol: What labels depend on.
            session: This start.

        Returns:
            The number of the session, and what :meth:`remaining` says.

        Raises:
            RunError: The folder holds predictions that cannot be gone on with.
        """
        earlier = PredictionSettings.load(self.folder)
        now = PredictionSettings(protocol, images=len(self.files))
        if earlier is not None:
            now.check_continues(earlier, self.folder)
        remaining = self.remaining()
        sessions = earlier.sessions if earlier is not None else ()
        if remaining or earlier is None:
            done = len(self.files) - len(remaining)
            replace(now, done=done, sessions=[*sessions, session]).save(self.folder)
            write_text(self.folder / CONFIG, self.config)
            write_text(self.folder / CLASSES, class_table(self.vocabulary))
            if self.words:
                write_text(self.folder / BACKGROUND, "".join(f"{word}\n" for word in self.words))
            self.write_shares()
        for kind in (LABELS, OVERLAYS):
            (self.folder / kind).mkdir(exist_ok=True)
        return len(sessions), remaining

    def write_shares(self) -> ShareTable:
        """Write ``shares.csv``: the images that have results, in the order of the images."""
        with (
            replacing(self.folder / SHARES) as temporary,
            ShareTable(temporary, self.vocabulary.names) as table,
        ):
            for image in self._images():
                table.add(Path(image.path), image.id, image.size, image.shares)
        return table

    def pause(self) -> int:
        """Write what is done so far; returns the number of images."""
        images = self.write_shares().images
        settings = PredictionSettings.load(self.folder)
        if settings is not None:
            replace(settings, state=UNFINISHED, images=len(self.files), done=images).save(self.folder)
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
        settings = PredictionSettings.load(self.folder)
        assert settings is not None  # written when the session began
        done = replace(settings, state=COMPLETE, images=len(paths), done=table.images, skipped=skipped)
        if done != settings:
            done.save(self.folder)
        return table, skipped

    def _images(self) -> Iterator[PredictedImage]:
        return PredictedImages(self.folder).of(str(file.path) for file in self.files)

    def _is_done(self, file: ImageFile, images: PredictedImages) -> bool:
        known = images.done.get(str(file.path))
        if known is None or known[1] != self.stamp_of(file):
            return False
        return all(path.is_file() and is_whole(path) for path in self.results_of(file.name))

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
