"""The label maps of images, one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sclip_lightning.errors import DataError
from sclip_lightning.records.artefacts import LABELS
from sclip_lightning.records.predicted import PredictedImage

__all__ = ["ClassEntry", "Labels", "exported", "label_maps"]

#: [H, W], of any type of whole numbers.
Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class ClassEntry:
    """A class as annotation tools are to have it.

    Attributes:
        index: Its index in label maps.
        name: Its name.
        colour: Red, green and blue, 0..255.
    """

    index: int
    name: str
    colour: tuple[int, int, int]


def exported(names: Sequence[str], palette: npt.NDArray[np.uint8], has_background: bool) -> list[ClassEntry]:
    """All classes but a background, which is what nobody would annotate.

    Args:
        names: C names.
        palette: [C, 3] RGB.
        has_background: Class 0 is a background.
    """
    return [
        ClassEntry(index, name, (int(palette[index, 0]), int(palette[index, 1]), int(palette[index, 2])))
        for index, name in enumerate(names)
        if index > 0 or not has_background
    ]


def label_maps(folder: Path, images: Iterable[PredictedImage]) -> Iterator[tuple[PredictedImage, Labels]]:
    """Read label maps, each when it is asked for.

    Args:
        folder: Where predictions lie.
        images: Those that have label maps.

    Raises:
        DataError: One is not there, or not what was recorded.
    """
    for image in images:
        path = folder / LABELS / f"{image.id}.png"
        try:
            with Image.open(path) as stored:
                labels = np.asarray(stored)
        except (OSError, SyntaxError) as error:
            msg = f"The label map {path} cannot be read ({error}). The same command again makes it anew."
            raise DataError(msg) from error
        if labels.shape != image.size:
            msg = (
                f"The label map {path} has {labels.shape[0]} x {labels.shape[1]} pixels, recorded were {image.size[0]} "
                f"x {image.size[1]}: it was replaced. Delete it, and the same command makes it anew."
            )
            raise DataError(msg)
        yield image, labels
