"""The images of finished runs, their ground truth and the label maps that were kept. Imports torch with the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.imports import GuardedParser, allow_imports
from sclip_lightning.data.reading.masks import read_image, read_mask
from sclip_lightning.errors import ConfigError, DataError, SclipError
from sclip_lightning.records.artefacts import CONFIG, LABELS, image_file

__all__ = ["KEEP_LABELS", "RunImages", "data_of", "labels_file"]

#: How label maps come about that a run has not kept.
KEEP_LABELS = (
    "Give the sclip test command of the run again with --predictions.labels true: it segments the images without a map "
    "and leaves the scores as they are."
)

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.int32]


def data_of(folder: Path, purpose: str, allowed: str | None = None) -> SegmentationData:
    """The data that a run's configuration describes, set up.

    Args:
        folder: The run's.
        purpose: What needs the images, for the error.
        allowed: Modules, split by commas, whose classes the configuration may name besides the usual ones.

    Raises:
        SclipError: The configuration is not there or names a class that it may not, or the files are not there.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{purpose}, and {path}, which says where they are, is not there.")
    try:
        section = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{purpose}, and {path} does not say where they are: it has no section data.") from error
    allow_imports([f"--allow_modules={allowed}"] if allowed else [])
    parser = GuardedParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationData, "data")
    data: SegmentationData = parser.instantiate_classes(parser.parse_object({"data": section})).data
    data.on_error = "skip"  # the images at hand have been read before
    data.setup()
    return data


def labels_file(folder: Path, id_: str) -> Path:
    """Where a run keeps the label map of an image."""
    return folder / LABELS / image_file(id_, ".png")


class RunImages:
    """Images of runs on the same data, by id.

    Args:
        folders: Those of the runs.
        allowed: As for ``data_of``.

    Attributes:
        data: The first data set found of those that the runs' configurations name; None where there is none.
        lacking: In sentences, what is not there, and how it could be.
    """

    def __init__(self, folders: Sequence[Path], allowed: str | None = None) -> None:
        self.folders = folders
        self.data: SegmentationData | None = None
        self.lacking: list[str] = []
        for folder in folders:
            try:
                self.data = data_of(folder, "Pictures need the images", allowed)
                break
            except SclipError as error:
                self.lacking.append(f"{folder}: {error}")
        if self.data is None:
            self.lacking.append(
                "No picture can be drawn without the images. A run of sclip test says in its config.yaml where they "
                "are: data.init_args.root, or $SCLIP_DATA_ROOT where that is not set."
            )
            return
        self.lacking = []
        self._places = {sample.id: index for index, sample in enumerate(self.data.dataset.files)}

    def note_missing(self, ids: Sequence[str]) -> None:
        """Add a sentence on label maps that are missing for some of these images."""
        missing = {str(folder): sum(not labels_file(folder, id_).is_file() for id_ in ids) for folder in self.folders}
        runs = [f"{folder} ({number})" for folder, number in missing.items() if number]
        if runs and self.data is not None:
            self.lacking.append(
                f"Of the {len(ids)} images here, label maps are missing in {', '.join(runs)}, so that predictions and "
                f"errors cannot be drawn there. {KEEP_LABELS}"
            )

    def note_changed(self, fingerprints: Mapping[str, Mapping[str, str]]) -> None:
        """Add a sentence on files that are not those that records, by id of the image, were made of."""
        if self.data is None:
            return
        changed = self.data.dataset.changed({id_: dict(one) for id_, one in fingerprints.items()})
        if changed:
            self.lacking.append(
                f"Files have changed since they were scored: {len(changed)} of {len(fingerprints)} images, "
                f"{changed[0]} for one. Scores are of what was there then, pictures of what is there now."
            )

    def read(self, id_: str) -> tuple[npt.NDArray[np.uint8], Labels, list[Labels | None]]:
        """An image [H, W, 3], its ground truth [H, W] and the labels of each run, None where a run kept none.

        Raises:
            DataError: A file is not there or cannot be read, or a label map is of another size than the ground truth.
        """
        assert self.data is not None
        if id_ not in self._places:
            raise DataError(f"The data set has no image {id_}.")
        place = self._places[id_]
        image, truth = read_image(self.data.dataset.files[place].image), self.data.dataset.target(place)
        labels: list[Labels | None] = []
        for path in (labels_file(folder, id_) for folder in self.folders):
            labels.append(read_mask(path) if path.is_file() else None)
        for path, one in zip((labels_file(folder, id_) for folder in self.folders), labels, strict=True):
            if one is not None and one.shape != truth.shape:
                raise DataError(f"{path} has another size than the ground truth of the image.")
        if image.shape[:2] != truth.shape:
            raise DataError(f"The image {id_} has another size than its ground truth.")
        return image, truth, labels
