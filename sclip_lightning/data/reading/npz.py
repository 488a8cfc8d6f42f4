"""One array out of an npz file, whoever made the file: nothing is unpacked to disk, nothing unpickled.

An npz file is a zip archive of npy files, and a small one may unpack to any size. Here the member that is asked for is
opened and no other; what it says of its shape and type is checked before memory is taken for it, and as many bytes are
decompressed as that says. ``numpy.load`` takes memory for whatever shape the file names.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from sclip_lightning.data.reading.pixels import reason_of
from sclip_lightning.errors import DataError

__all__ = ["Npz", "opened_npz"]

#: Bytes that an array's description must lie in; a longer one is damage or worse.
_HEAD = 2**16
#: Names of arrays that a message lists.
_SHOWN = 5


@dataclass(frozen=True)
class Npz:
    """An array in an opened file, its numbers not read yet.

    Attributes:
        shape: As the file says; no number is negative.
        dtype: Numbers or booleans.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _by_columns: bool
    _first: bytes
    _rest: IO[bytes]

    def read(self) -> npt.NDArray[Any]:
        """The numbers. Whoever calls has made sure that so many are wanted.

        Raises:
            ValueError: There are more or fewer than the shape says.
        """
        size = math.prod(self.shape) * self.dtype.itemsize
        # One byte more than there should be: at its end the archive's checksum is compared.
        content = self._first[: size + 1] + self._rest.read(max(size - len(self._first), 0) + 1)
        if len(content) != size:
            raise ValueError(f"its array {'is longer' if len(content) > size else 'ends earlier'} than it says")
        flat = np.frombuffer(content, self.dtype)
        return flat.reshape(self.shape, order="F" if self._by_columns else "C")


@contextmanager
def opened_npz(path: Path, name: str) -> Iterator[Npz]:
    """Open an array of a file, to be read inside; what goes wrong becomes a DataError of this file.

    Args:
        path: The file.
        name: Of the array.

    Raises:
        DataError: The file is missing or damaged, it has no array of this name, or one that does not hold numbers.
    """
    try:
        with ZipFile(path) as archive:
            arrays = [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]
            if name not in arrays:
                found = ", ".join(map(ascii, arrays[:_SHOWN])) + ", ..." * (len(arrays) > _SHOWN)
                msg = (
                    f"The file {path} has no array {name!r}; it has {found or 'none'}. Save the map under this name: "
                    f"numpy.savez_compressed(file, {name}=map)."
                )
                raise DataError(msg)
            with archive.open(f"{name}.npy") as member:
                yield _described(member)
    except DataError:
        raise
    except Exception as error:  # zip archives and their decompressors fail in as many ways as images do
        msg = f"{path} cannot be read as an npz file: {reason_of(error)}. Make, copy or download the file again."
        raise DataError(msg) from error


def _described(member: IO[bytes]) -> Npz:
    """What an npy file says of its array.

    Raises:
        ValueError: It is no such file, or holds no numbers; objects are Python code, and are never loaded.
    """
    first = member.read(_HEAD)
    head = BytesIO(first)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(head)
    if version not in readers:
        raise ValueError(f"its array is stored in the unknown format {version[0]}.{version[1]}")
    shape, by_columns, dtype = readers[version](head)
    if dtype.kind not in "biuf" or dtype.subdtype is not None or min(shape, default=0) < 0:
        raise ValueError(f"its array of type {dtype} and shape {list(shape)} does not consist of numbers")
    return Npz(tuple(shape), dtype, by_columns, first[head.tell() :], member)
