"""Images given from Python, one or several, each with its segment map where there are some."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL.Image
from torch import Tensor

from sclip_lightning.data.reading.regions import unread_maps, without_maps
from sclip_lightning.errors import DataError

__all__ = ["check_maps", "check_several", "one_by_one"]

T = TypeVar("T")

#: Stands where there are more images than segment maps, or fewer.
_ABSENT: Any = object()


def check_several(images: object) -> None:
    """Refuse a single image in the place of several."""
    if isinstance(images, str | Path | PIL.Image.Image | np.ndarray | Tensor):
        msg = "predict_each takes several images, in a list for instance. For a single one there is predict."
        raise DataError(msg)


def check_maps(readers: Sequence[str], maps: object) -> None:
    """Refuse to do without segment maps that parts of these names read, and warn of those that none does."""
    if readers and maps is None:
        raise without_maps(readers, "regions")
    if maps is not None and not readers:
        warnings.warn(unread_maps("regions"), stacklevel=3)


def one_by_one(images: Iterable[Any], maps: Iterable[Any] | None, predict: Callable[[Any, Any], T]) -> Iterator[T]:
    """What is predicted of each image, when it is asked for.

    Args:
        images: Any number.
        maps: A segment map for each; None for none.
        predict: Given an image and its segment map, or None.

    Raises:
        DataError: As ``predict`` does, with the number of an image that has no name; or there are more images than
            segment maps, or fewer, when it comes to that.
    """
    for number, image, one in _with_maps(images, maps):
        try:
            yield predict(image, one)
        except DataError as error:
            if isinstance(image, str | Path):
                raise  # the message has its name
            msg = f"Image {number} of those given: {error}"
            raise DataError(msg) from error


def _with_maps(images: Iterable[Any], maps: Iterable[Any] | None) -> Iterator[tuple[int, Any, Any]]:
    """Number from 1, image and segment map of each; None for all maps where there are none."""
    pairs: Iterable[tuple[Any, Any]] = zip(images, repeat(None))
    if maps is not None:
        pairs = zip_longest(images, maps, fillvalue=_ABSENT)
    for number, (image, one) in enumerate(pairs, 1):
        if image is _ABSENT or one is _ABSENT:
            lacking = "image" if image is _ABSENT else "segment map"
            raise DataError(f"There is no {lacking} number {number}. Give a segment map for each image.")
        yield number, image, one
