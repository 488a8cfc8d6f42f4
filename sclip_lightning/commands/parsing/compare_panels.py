"""Panels of two runs, side by side. Imports torch with the data set."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sclip_lightning.commands.parsing.run_images import KEEP_LABELS, data_of, labels_file
from sclip_lightning.data.reading.masks import read_image, read_mask
from sclip_lightning.errors import ConfigError
from sclip_lightning.pictures.drawing import draw_panel
from sclip_lightning.pictures.png import write_png
from sclip_lightning.records.artefacts import image_file

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
    files = {(folder, id_): labels_file(folder, id_) for folder in folders for id_ in ids}
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        msg = (
            f"--panels needs the label maps of both runs, but {missing[0]} is not there ({len(missing)} of "
            f"{len(files)} are missing). {KEEP_LABELS}"
        )
        raise ConfigError(msg)
    data = data_of(folders[0], "--panels needs the images", allowed)
    benchmark, dataset = data.benchmark, data.dataset
    places = {sample.id: index for index, sample in enumerate(dataset.files)}
    for id_ in ids:
        image, truth = read_image(dataset.files[places[id_]].image), dataset.target(places[id_])
        panels = [
            draw_panel(image, truth, read_mask(files[folder, id_]), benchmark.palette, benchmark.classes, columns=4)
            for folder in folders
        ]
        write_png(target / image_file(id_, ".png"), _stack(panels))
    return len(ids)


def _stack(panels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Pictures above each other on white."""
    width = max(panel.shape[1] for panel in panels)
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in panels]
    return np.concatenate(padded)
