"""Label maps in MATLAB files (format 5, as MATLAB 5 to 7 write it): PASCAL Context and COCO-Stuff 10k as published.

Read in Python: SciPy's reader ends the process on some damaged files, where an error is what one bad file must be. The
layout is that of "MAT-File Format" (The MathWorks): a header of 128 bytes, then elements, each a tag of type and length
with data behind it; a compressed element holds another one in zlib's format.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning.data.reading.pixels import read_bytes, reason_of
from sclip_lightning.errors import DataError

__all__ = ["matlab_size", "read_matlab"]

#: What the label map is called: by PASCAL Context's publishers, and by COCO-Stuff 10k's.
VARIABLES = ("LabelMap", "S")

#: Types of elements: how numbers are stored ...
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
#: ... and classes of matrices: what the numbers are. Others (cells, text, structures) hold no label map.
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800

#: Bytes of an element that hold all that comes before a variable's numbers.
_HEAD = 1024
#: Bytes that an element may come to when decompressed; more is damage.
_LARGEST = 2**28


@dataclass(frozen=True)
class _Variable:
    """A variable, its numbers not read yet.

    Attributes:
        name: As the file has it.
        shape: Rows, columns and any further dimensions.
        number_class: What its numbers are: one of ``_CLASSES``, or another that holds no numbers.
        is_complex: Whether there are imaginary parts.
    """

    name: str
    shape: tuple[int, ...]
    number_class: int
    is_complex: bool


def read_matlab(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    """The label map of a file, [H, W]: uint8 where it is of that type, else int32.

    Raises:
        DataError: The file is missing or damaged, or holds no label map of numbers in 0..65535.
    """
    try:
        values = _numbers(*_find(path))
    except (ValueError, struct.error, zlib.error, MemoryError) as error:
        raise _damaged(path, error) from error
    whole = values.dtype.kind != "f" or (values == np.floor(values)).all()
    if values.ndim != 2 or not whole or not ((values >= 0) & (values < 2**16)).all():
        raise _no_labels(path, values.shape, str(values.dtype))
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def matlab_size(path: Path) -> tuple[int, int]:
    """(H, W) of a file's label map, from its header alone; raises DataError as :func:`read_matlab` does."""
    try:
        variable, *_ = _find(path)
    except (ValueError, struct.error, zlib.error, MemoryError) as error:
        raise _damaged(path, error) from error
    if len(variable.shape) != 2:
        raise _no_labels(path, variable.shape, _CLASSES.get(variable.number_class, "unknown"))
    return variable.shape[0], variable.shape[1]


def _no_labels(path: Path, shape: tuple[int, ...], kind: str) -> DataError:
    return DataError(
        f"The MATLAB file {path} holds an array of shape {list(shape)} and type {kind} as its label map, expected "
        "[H, W] integers in 0..65535. Use the masks as published."
    )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as a MATLAB file: {reason_of(error)}. Copy or download the file again.")


def _find(path: Path) -> tuple[_Variable, bytes, bool, str]:
    """The label map's variable, its element's bytes, whether they are compressed, and the order of bytes."""
    content = read_bytes(path)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or content[124:126] not in (b"\0\1", b"\1\0"):
        raise ValueError("it is none of format 5 (save it with -v7 or -v6)")
    found = []
    for kind, element in _elements(content[128:], order):
        head = element
        if kind == _COMPRESSED:
            (_, head), *_ = _elements(zlib.decompressobj().decompress(element, _HEAD), order, whole=False)
        elif kind != _MATRIX:
            continue
        variable = _variable(head, order)
        if variable.name in VARIABLES:
            return variable, element, kind == _COMPRESSED, order
        found.append(variable.name if variable.name.isprintable() else repr(variable.name))
    msg = (
        f"The MATLAB file {path} holds no label map: expected a variable {' or '.join(VARIABLES)}, found "
        f"{', '.join(found) or 'none'}. Use the masks as published."
    )
    raise DataError(msg)


def _elements(content: bytes, order: str, whole: bool = True) -> Iterator[tuple[int, bytes]]:
    """Type and data of the elements that lie one behind the other.

    Args:
        content: Their bytes.
        order: Of the bytes in a number, ``<`` or ``>``.
        whole: Whether every element must be there to its end.
    """
    place = 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        if kind >> 16:  # a small element: its length stands beside the type, its data in place of the length
            kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
        if whole and (start + length > len(content) or (start == place + 4 and length > 4)):
            raise ValueError("it ends early")
        yield kind, content[start : start + length]
        if start == place + 4:
            place += 8
        else:
            place = start + length + (0 if kind == _COMPRESSED else -length % 8)


def _variable(head: bytes, order: str) -> _Variable:
    """What the first three elements of a matrix say: flags, dimensions, name."""
    parts = _elements(head, order, whole=False)
    try:
        (_, flags), (_, dimensions), (_, name) = next(parts), next(parts), next(parts)
    except StopIteration:
        raise ValueError("it ends within a variable's description") from None
    (word,) = struct.unpack_from(f"{order}I", flags)
    if len(dimensions) % 4 or len(dimensions) > 128:
        raise ValueError("a variable's dimensions are damaged")
    shape = struct.unpack(f"{order}{len(dimensions) // 4}I", dimensions)
    return _Variable(name.decode("latin-1"), shape, word & 0xFF, bool(word & _COMPLEX))


def _numbers(variable: _Variable, element: bytes, compressed: bool, order: str) -> npt.NDArray[Any]:
    """The numbers of a variable, in its shape; MATLAB may store them in fewer bytes than their class has."""
    if compressed:
        decompressor = zlib.decompressobj()
        element = decompressor.decompress(element, _LARGEST)
        if not decompressor.eof:
            raise ValueError("it ends early")
        ((_, element),) = _elements(element, order)
    if variable.number_class not in _CLASSES or variable.is_complex:
        raise ValueError("its label map does not consist of real numbers")
    parts = list(_elements(element, order))
    if len(parts) < 4 or parts[3][0] not in _STORED:
        raise ValueError("the numbers of its label map are missing")
    kind, data = parts[3]
    values = np.frombuffer(data, np.dtype(f"{order}{_STORED[kind]}"))
    return values.reshape(variable.shape, order="F").astype(_CLASSES[variable.number_class])
