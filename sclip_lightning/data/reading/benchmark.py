"""What makes a benchmark: its classes, their prompt names and colours; and what makes an evaluation protocol.

Which protocol a method's authors evaluate a benchmark under is a fact about the method: see ``methods/``.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from sclip_lightning.data.reading.layout import expand
from sclip_lightning.errors import DataError
from sclip_lightning.ranges import LOGIT_SCALES, at_least, between, check_numbers

__all__ = [
    "CLASS_FOLDER",
    "LONG_SIDE",
    "Benchmark",
    "ClassNames",
    "LabelTable",
    "Protocol",
    "read_class_file",
    "read_label_table",
    "voc_colours",
]

#: Upper bound on the long side in pixels, as in the published configurations of all benchmarks here.
LONG_SIDE = 2048

#: Shipped tables: ``*.txt`` hold the prompt names published with SCLIP, ``*.csv`` the classes of a data set.
CLASS_FOLDER = Path(__file__).parents[1] / "classes"


@dataclass(frozen=True)
class ClassNames:
    """Prompt names of every class, and where they come from: they are part of the protocol.

    Attributes:
        synonyms: The names (queries) of each class.
        source: File name of the class file, or ``(list)``.
        sha256: Hex digest of the class file's bytes; of a list, of the file with one class a line.
    """

    synonyms: tuple[tuple[str, ...], ...]
    source: str
    sha256: str

    @classmethod
    def load(cls, classes: str | Path | Sequence[str]) -> "ClassNames":
        """Take names from a class file, or from a list with one string per class, synonyms split by commas.

        Raises:
            DataError: As :func:`read_class_file` does.
        """
        if isinstance(classes, str | Path):
            path = _find_class_file(classes)
            synonyms, source, content = read_class_file(path), path.name, path.read_bytes()
        else:
            synonyms, source = _split_names(classes, "The list of --data.classes"), "(list)"
            content = "\n".join(classes).encode()
        return cls(synonyms, source, hashlib.sha256(content).hexdigest())

    @classmethod
    def shipped(cls, name: str) -> "ClassNames":
        """Take names from a shipped class file, whatever lies where the user stands."""
        return cls.load(CLASS_FOLDER / name)


@dataclass(frozen=True)
class Protocol:
    """Constants that a benchmark is evaluated under.

    Attributes:
        short_side: Images are resized so that their short side has this many pixels; 0 keeps their size.
        logit_scale: Factor on the cosines before the softmax.
        prob_threshold: Pixels whose best class has a lower probability become class ``background``; 0 turns this off.
        area_threshold: Classes with no more than this fraction of the foreground are dropped; 0 turns this off.
        crop: Side of the sliding window in pixels; 0 takes each image whole.
        stride: Distance between windows in pixels.
        class_file: A shipped class file with other prompt names than the benchmark's own; None takes those.
        background: The class that pixels below the threshold are given to.
        long_side: Most pixels that the long side may have; what exceeds it makes the image smaller as a whole.
        padding: Windows whose sides are no multiple of this many pixels are padded with zeros; 1 pads none.
    """

    short_side: Annotated[int, at_least(0, whole=True)]
    logit_scale: Annotated[float, LOGIT_SCALES] = 40.0
    prob_threshold: Annotated[float, between(0, 1)] = 0.0
    area_threshold: Annotated[float, between(0, 1)] = 0.0
    crop: Annotated[int, at_least(0, whole=True)] = 224
    stride: Annotated[int, at_least(1, whole=True)] = 112
    class_file: str | None = None
    background: Annotated[int, at_least(0, whole=True)] = 0
    long_side: Annotated[int, at_least(1, whole=True)] = LONG_SIDE
    padding: Annotated[int, at_least(1, whole=True)] = 1

    def __post_init__(self) -> None:
        check_numbers(self)


class LabelTable(NamedTuple):
    """The classes of a data set in the order of their train ids.

    Attributes:
        values: What the publisher's masks store for each of the C classes.
        names: C canonical names.
        palette: [C, 3] uint8 RGB colours.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    palette: npt.NDArray[np.uint8]

    def without_first(self) -> "LabelTable":
        """The same without class 0, for a benchmark that does not score the background."""
        return LabelTable(self.values[1:], self.names[1:], self.palette[1:])


@dataclass(frozen=True)
class Benchmark:
    """A data set with its classes.

    Attributes:
        name: Name of the benchmark, as in ``VOC21``.
        classes: C canonical names, for tables and legends.
        palette: [C, 3] uint8 RGB colours, for panels.
        prompts: Prompt names of the C classes.
        protocol: Constants for data that nobody published a protocol for; None leaves them to the methods' files.
        scores_boundaries: Whether boundary F1 is scored; False where background is ignored, since what an object
            borders on is then mostly void.
        images: Number of images in the published split; None where nobody published one.
        notes: What a reader of any result on it must know.

    Raises:
        DataError: The prompt names are for another number of classes.
    """

    name: str
    classes: tuple[str, ...]
    palette: npt.NDArray[np.uint8] = field(repr=False, compare=False)
    prompts: ClassNames = field(repr=False)
    protocol: Protocol | None = None
    scores_boundaries: bool = True
    images: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.synonyms) != len(self.classes):
            msg = (
                f"--data.classes: {self.class_file} names {len(self.synonyms)} classes, but {self.name} has "
                f"{len(self.classes)}, from {self.classes[0]} to {self.classes[-1]}. Give one line per class in this "
                "order, its synonyms split by commas, or leave the option out for the published names."
            )
            raise DataError(msg)

    @classmethod
    def from_table(
        cls, name: str, table: LabelTable, class_file: str, images: int, scores_boundaries: bool = True
    ) -> "Benchmark":
        """A published benchmark with the classes of a shipped table and the prompt names of a shipped class file."""
        prompts = ClassNames.shipped(class_file)
        return cls(name, table.names, table.palette, prompts, scores_boundaries=scores_boundaries, images=images)

    @property
    def synonyms(self) -> tuple[tuple[str, ...], ...]:
        """The prompt names (queries) of each class."""
        return self.prompts.synonyms

    @property
    def class_file(self) -> str:
        """File name of the class file, or ``(list)``."""
        return self.prompts.source

    @property
    def class_file_sha256(self) -> str:
        """Hex digest of the class file's bytes."""
        return self.prompts.sha256


def read_class_file(path: str | Path) -> tuple[tuple[str, ...], ...]:
    """Read prompt names from a UTF-8 text file with one class per line, synonyms split by commas.

    Args:
        path: The file, or the name of a shipped one.

    Returns:
        The names of each class, in the order of the file.

    Raises:
        DataError: There is no such file, it is empty or no text, or a name is empty or repeated within a class.
    """
    path = _find_class_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The class file {path} cannot be read: {error}. It must be a UTF-8 text file with one class per line."
        raise DataError(msg) from error
    return _split_names(text.rstrip().splitlines(), f"The class file {path}")


def read_label_table(name: str) -> LabelTable:
    """Read a shipped class table such as ``voc``; names and colours are those that mmseg uses."""
    with (CLASS_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return LabelTable(
        values=tuple(int(row["value"]) for row in rows),
        names=tuple(row["name"] for row in rows),
        palette=np.array([[row["red"], row["green"], row["blue"]] for row in rows]).astype(np.uint8),
    )


def voc_colours(count: int) -> npt.NDArray[np.uint8]:
    """The first colours of PASCAL VOC's colour map, [count, 3] uint8 RGB; 256 are distinct, and the first is black.

    The three lowest bits of an index are the highest bits of red, green and blue, the next three the second highest,
    and so on (VOC development kit).
    """
    index = np.arange(count)[:, None]
    channel = np.arange(3)[None]
    bits = [((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8)]
    return np.sum(bits, axis=0).astype(np.uint8)


def _find_class_file(path: str | Path) -> Path:
    """The path itself where it is a file, else the shipped file of that name."""
    path = expand(path)
    for candidate in (path, CLASS_FOLDER / path.name):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(file.name for file in CLASS_FOLDER.glob("*.txt")))
    msg = (
        f"There is no class file {path} (--data.classes). Give the path of a text file with one class per line, or one "
        f"of the shipped files by name: {shipped}."
    )
    raise DataError(msg)


def _split_names(lines: Sequence[str], source: str) -> tuple[tuple[str, ...], ...]:
    """Split each line into names; one name may stand for two classes (the published COCO-Object has "bed" twice)."""
    if not lines:
        msg = f"{source} is empty. It must have one line per class, synonyms split by commas."
        raise DataError(msg)
    synonyms = tuple(tuple(name.strip() for name in line.split(",")) for line in lines)
    for number, names in enumerate(synonyms, start=1):
        if "" in names:
            msg = f"{source} has an empty name in line {number}: {lines[number - 1]!r}. Remove the line or the comma."
            raise DataError(msg)
        first = synonyms.index(names) + 1
        if first < number or len(set(names)) < len(names):
            where = f"lines {first} and {number}" if first < number else f"line {number}"
            msg = f"{source} repeats a name in {where}: {lines[number - 1]!r}. Name each class once, in its own words."
            raise DataError(msg)
    return synonyms
