"""Which class takes how much of each image, as a file and in words."""

import csv
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from types import TracebackType

import numpy as np

from sclip_lightning.reports.cells import csv_cell

__all__ = ["ShareTable"]

#: Most classes in the summary.
SHOWN = 20


class ShareTable:
    """Writes ``shares.csv`` image by image, and sums up; memory does not grow with the number of images.

    One row an image: its path, the name of its results, its size in pixels, and the fraction of its pixels that each
    class takes.

    Args:
        path: The file to write.
        classes: C names.

    Attributes:
        images: Number of images so far.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.classes = classes
        self.images = 0
        self._sums = np.zeros(len(classes))
        self._seen = np.zeros(len(classes), np.int64)
        self._most = np.full(len(classes), -1.0)
        self._most_in = [""] * len(classes)
        self._file = path.open("wb", buffering=0)
        self._write(["image", "name", "height", "width", *map(csv_cell, classes)])

    def __enter__(self) -> "ShareTable":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, path: Path, name: str, size: tuple[int, int], shares: Sequence[float]) -> None:
        """Add one image.

        Args:
            path: Its file.
            name: What its results are called.
            size: (H, W) in pixels.
            shares: Fraction of its pixels that each of the C classes takes.

        Raises:
            OSError: The row cannot be written; the file then ends with the row before.
        """
        self._write([csv_cell(str(path)), csv_cell(name), *size, *(f"{share:.6f}" for share in shares)])
        row = np.array(shares)
        self.images += 1
        self._sums += row
        self._seen += row > 0
        for c in np.flatnonzero(row > self._most).tolist():
            self._most[c], self._most_in[c] = row[c], name

    def _write(self, row: Sequence[object]) -> None:
        text = StringIO()
        csv.writer(text).writerow(row)
        line, end = text.getvalue().encode(), os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(end)
            raise

    def summary(self) -> str:
        """The classes that occur, the largest first: mean share, number of images, and the image with most of it."""
        mean = self._sums / self.images
        order = [c for c in np.argsort(-mean, kind="stable").tolist() if mean[c] > 0]
        width = max(len("class"), *(len(self.classes[c]) for c in order[:SHOWN]))
        lines = [f"{'class':<{width}}  {'share':>8}  {'images':>6}  most in"]
        for c in order[:SHOWN]:
            where = f"{self._most_in[c]} ({100 * self._most[c]:.1f} %)"
            lines.append(f"{self.classes[c]:<{width}}  {100 * mean[c]:>6.2f} %  {self._seen[c]:>6}  {where}")
        if len(order) > SHOWN:
            lines.append(f"and {len(order) - SHOWN} more classes, all in shares.csv")
        lines.append(
            f"\n{self.images} image{'s' * (self.images > 1)}, {len(order)} of {len(self.classes)} classes seen"
        )
        return "\n".join(lines)
