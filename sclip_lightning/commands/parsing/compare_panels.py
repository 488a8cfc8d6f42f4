"""Panels of two runs, side by side. Imports torch with the data set."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.imports import GuardedParser, allow_imports
from sclip_lightning.data.reading.masks import read_image, read_mask
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import draw_panel
from sclip_lightning.records.artefacts import CONFIG, LABELS, image_file

__all__ = ["write_panels"]


def write_panels(folders: tuple[Path, Path], ids: list[str], target: Path, allowed: str | None = None) -> int:
    """Draw the panel of each run for some images, A above B.

    Args:
        folders: The two runs, which must have kept label maps.
        ids: The images.
        target: Where ``<image>.png`` are written.
        allowed: Modules, split by commas, whose classes the run's configuration may name besides the usual ones.

    Returns:
        How many.

    Raises:
        ConfigError: Label maps or the configuration with the data set's place are missing, or it names a class that it
            may not.
    """
    files = {(folder, id_): folder / LABELS / image_file(id_, ".png") for folder in folders for id_ in ids}
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        msg = (
            f"--panels needs the label maps of both runs, but {missing[0]} is not there ({len(missing)} of "
            f"{len(files)} are missing). Give the sclip test command of the run again with --predictions.labels true: "
            "it segments the images without a map and leaves the scores as they are."
        )
        raise ConfigError(msg)
    data = _data(folders[0], allowed)
    benchmark, dataset = data.benchmark, data.dataset
    places = {sample.id: index for index, sample in enumerate(dataset.files)}
    for id_ in ids:
        image, truth = read_image(dataset.files[places[id_]].image), dataset.target(places[id_])
        panels = [
            draw_panel(image, truth, read_mask(files[folder, id_]), benchmark.palette, benchmark.classes)
            for folder in folders
        ]
        with replacing(target / image_file(id_, ".png")) as path:
            Image.fromarray(_stack(panels)).save(path)
    return len(ids)


def _data(folder: Path, allowed: str | None) -> SegmentationData:
    """The data that a run's configuration describes, set up."""
    path = folder / CONFIG
    if not path.is_file():
        msg = f"--panels needs the images, and {path}, which says where they are, is not there. Compare without panels."
        raise ConfigError(msg)
    section = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    allow_imports([f"--allow_modules={allowed}"] if allowed else [])
    parser = GuardedParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationData, "data")
    data: SegmentationData = parser.instantiate_classes(parser.parse_object({"data": section})).data
    data.on_error = "skip"  # the images at hand have been read before
    data.setup()
    return data


def _stack(panels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Pictures above each other on white."""
    width = max(panel.shape[1] for panel in panels)
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in panels]
    return np.concatenate(padded)
