"""Whether files of an image are whole, without decoding them."""

import math
import zipfile
from pathlib import Path

import numpy as np

__all__ = ["is_whole"]

#: The signature of a PNG, and its last chunk (PNG specification, sections 5.2 and 11.2.5).
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"


def is_whole(path: Path) -> bool:
    """Whether a PNG, npy or npz file begins and ends as one; what a loss of power leaves is often empty or cut off.

    Pixels are not decoded: that would take as long as segmenting small images again.
    """
    if path.suffix == ".npz":
        return zipfile.is_zipfile(path)  # looks for the list of what is in it, which stands at its end
    size = path.stat().st_size
    with path.open("rb") as file:
        if path.suffix == ".png":
            begin = file.read(len(_PNG_BEGIN))
            file.seek(max(size - len(_PNG_END), 0))
            return begin == _PNG_BEGIN and file.read() == _PNG_END
        try:
            major, _ = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
        except ValueError:
            return False
        return size == file.tell() + math.prod(shape) * dtype.itemsize
