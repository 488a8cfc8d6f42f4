"""What segmenting one image gives."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import count_labels, draw_overlay, label_image

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of one image.

    Attributes:
        labels: [H, W] class indices 0..C-1 at the image's size; uint8, uint16 for more than 256 classes.
        classes: C names.
        palette: [C, 3] uint8 RGB.
        image: [H, W, 3] uint8 RGB, the image as it was segmented.
        has_background: Class 0 is a background.
    """

    labels: npt.NDArray[Any] = field(repr=False)
    classes: tuple[str, ...]
    palette: npt.NDArray[np.uint8] = field(repr=False)
    image: npt.NDArray[np.uint8] = field(repr=False)
    has_background: bool
    _class_maps: Callable[[], Tensor] = field(repr=False)

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """Class probabilities [C, H, W] float32 in [0, 1], after refiners, before area filter and threshold.

        Computed when first asked for, since all of them take C times as much memory as the labels and more. A class's
        probability is the maximum over its synonyms: with synonyms they need not add up to 1.
        """
        return self._class_maps().cpu().numpy()

    def labels_only(self) -> "Prediction":
        """The same without what probabilities are made of, which may take far more memory than labels and image."""
        return replace(self, _class_maps=_no_class_maps)

    def counts(self) -> npt.NDArray[np.int64]:
        """[C] number of pixels that each class takes."""
        return count_labels(self.labels, len(self.classes))

    def shares(self) -> dict[str, float]:
        """Fraction of the pixels that each class takes, by name, in the order of the classes."""
        return dict(zip(self.classes, (self.counts() / self.labels.size).tolist(), strict=True))

    def overlay(self, title: str = "") -> Image.Image:
        """The image under its labels' colours, with a legend; a large image is shrunk."""
        return Image.fromarray(
            draw_overlay(self.image, self.labels, self.palette, self.classes, self.has_background, title)
        )

    def save(self, path: str | Path) -> None:
        """Write the labels as PNG: class indices with the palette, 16 bit grey for more than 256 classes.

        The file is written whole or not at all.
        """
        with replacing(Path(path)) as temporary:
            label_image(self.labels, self.palette).save(temporary, format="PNG")


def _no_class_maps() -> Tensor:
    raise ValueError("Nothing is kept of this prediction that probabilities could be made of.")
