"""Tensors that depend on sizes alone, kept from image to image: all of them together up to a number of bytes.

A table for a photograph of 12 megapixels may take a gigabyte where one for a benchmark's image takes 20 MB, so counting
tables bounds nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

__all__ = ["KEPT", "TensorCache", "tensor_bytes"]

P = ParamSpec("P")
R = TypeVar("R")

#: Bytes of all that is kept, on all devices together.
LIMIT = 512 * 2**20


class TensorCache:
    """Results of functions of sizes; of too many, those go first that were used longest ago.

    Args:
        limit: Most bytes; a result that is larger by itself is not kept.

    Attributes:
        bytes: Of all results that are kept now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._results: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def keep(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function of hashable arguments, whose result nobody may change."""

        @wraps(function)
        def kept(*arguments: P.args, **options: P.kwargs) -> R:
            key = function, arguments, tuple(options.items())
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    return self._results[key][0]
            result = function(*arguments, **options)
            self._add(key, result)
            return result

        return kept

    def clear(self) -> None:
        """Forget all results."""
        with self._lock:
            self._results.clear()
            self.bytes = 0

    def _add(self, key: Hashable, result: Any) -> None:
        size = tensor_bytes(result)
        with self._lock:
            if size > self.limit or key in self._results:
                return
            while self.bytes + size > self.limit:
                _, (_, freed) = self._results.popitem(last=False)
                self.bytes -= freed
            self._results[key] = result, size
            self.bytes += size


def tensor_bytes(thing: Any) -> int:
    """Bytes of all tensors in a tensor, a list, tuple, dict or an object's attributes; what they share counts once."""
    sizes: dict[int, int] = {}
    _measure(thing, sizes)
    return sum(sizes.values())


def _measure(thing: Any, sizes: dict[int, int]) -> None:
    if isinstance(thing, Tensor):
        storage = thing.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(thing, list | tuple | dict):
        for inner in thing.values() if isinstance(thing, dict) else thing:
            _measure(inner, sizes)
    elif hasattr(thing, "__dict__"):
        for inner in vars(thing).values():
            _measure(inner, sizes)


#: What all parts keep their tables in.
KEPT = TensorCache(LIMIT)
