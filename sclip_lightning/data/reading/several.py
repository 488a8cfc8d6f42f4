"""Several images given from Python, each with its segment map where there are some."""

from collections.abc import Iterable, Iterator
from itertools import repeat, zip_longest
from typing import Any

from sclip_lightning.errors import DataError

__all__ = ["with_maps"]

#: Stands where there are more images than segment maps, or fewer.
_ABSENT: Any = object()


def with_maps(images: Iterable[Any], maps: Iterable[Any] | None) -> Iterator[tuple[int, Any, Any]]:
    """Number from 1, image and segment map of each; None for all maps where there are none.

    Raises:
        DataError: There are more of one than of the other, when it comes to that.
    """
    pairs: Iterable[tuple[Any, Any]] = zip(images, repeat(None))
    if maps is not None:
        pairs = zip_longest(images, maps, fillvalue=_ABSENT)
    for number, (image, one) in enumerate(pairs, 1):
        if image is _ABSENT or one is _ABSENT:
            lacking = "image" if image is _ABSENT else "segment map"
            raise DataError(f"There is no {lacking} number {number}. Give a segment map for each image.")
        yield number, image, one
