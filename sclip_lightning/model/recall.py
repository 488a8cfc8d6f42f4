"""Results of earlier computations on the same images, by the content of what they were made of.

Whoever changes a threshold or a word, and segments the same image again, needs its features no second time. What a
result depends on is compared bit by bit before it is given again, so labels are those that a fresh computation gives,
whichever parts read the texts and whichever do not.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from inspect import isgenerator
from typing import Any, TypeVar

import torch
from torch import Tensor

from sclip_lightning.windows.cache import tensor_bytes

__all__ = ["GIB", "Recall", "Recalling"]

R = TypeVar("R")

GIB = 2**30


@dataclass(frozen=True, eq=False)
class _Kept:
    """One result, with what it was made of and the bytes of both."""

    name: str
    inputs: tuple[Any, ...]
    result: Any
    bytes: int


class Recall:
    """Results by name and inputs; of too many, those go first that were used longest ago. For one thread at a time.

    Args:
        limit: Most bytes of tensors, inputs included; a result that is larger by itself is not kept. 0 keeps nothing.
        without: Names of functions whose results are never kept, since they will not be asked for again.

    Attributes:
        bytes: Of all that is kept now; what results share counts once for each.
        computed: How often each function has been run, by name.
    """

    def __init__(self, limit: int = 2 * GIB, without: Collection[str] = ()) -> None:
        self.limit = limit
        self.without = without
        self.bytes = 0
        self.computed: Counter[str] = Counter()
        self._kept: list[_Kept] = []  # those used last come last

    def of(self, name: str, inputs: tuple[Any, ...], compute: Callable[[], R]) -> R:
        """What ``compute`` gave for these inputs, or gives now.

        Args:
            name: Of the function.
            inputs: Everything that the result depends on, but for networks and whether there is autocast: tensors, and
                values that ``==`` compares.
            compute: Makes the result, which nobody may change.
        """
        if not self.limit or name in self.without:
            return compute()
        inputs = (*inputs, *_autocast())
        for place in reversed(range(len(self._kept))):
            kept = self._kept[place]
            if kept.name == name and _same(kept.inputs, inputs):
                self._kept.append(self._kept.pop(place))
                return kept.result
        self.computed[name] += 1
        result: Any = compute()
        if isgenerator(result):
            return self._pass_on(name, inputs, result)  # type: ignore[return-value]  # an iterator for an iterator
        self._add(name, inputs, result)
        return result

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.bytes = 0

    def _pass_on(self, name: str, inputs: tuple[Any, ...], results: Iterator[Any]) -> Iterator[Any]:
        """Yield results as they come and keep them once all have come, as long as they are not too large together."""
        collected: list[Any] | None = []
        for result in results:
            if collected is not None:
                collected.append(result)
                if tensor_bytes(collected) > self.limit:
                    collected = None
            yield result
        if collected is not None:
            self._add(name, inputs, collected)

    def _add(self, name: str, inputs: tuple[Any, ...], result: Any) -> None:
        inputs = tuple(map(_by_itself, inputs))
        size = tensor_bytes([inputs, result])
        if size > self.limit:
            return
        while self.bytes + size > self.limit:
            self.bytes -= self._kept.pop(0).bytes
        self._kept.append(_Kept(name, inputs, result, size))
        self.bytes += size


class Recalling:
    """A network, some of whose methods are looked up in a :class:`Recall`; everything else is the network's own.

    Args:
        network: It names these methods in ``recallable``: functions of tensors and plain values alone.
        name: Of the network.
        recall: Where results are kept.
    """

    def __init__(self, network: Any, name: str, recall: Recall) -> None:
        self._network = network
        self._name = name
        self._recall = recall

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._network, attribute)
        if attribute not in getattr(self._network, "recallable", ()):
            return found

        def recalled(*arguments: Any, **options: Any) -> Any:
            inputs = (id(self._network), *arguments, *sorted(options.items()))
            return self._recall.of(f"{self._name}.{attribute}", inputs, lambda: found(*arguments, **options))

        return recalled

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the network."""
        return self._network(*arguments, **options)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and _same_tensors(one, other)
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _same_tensors(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    kind = one.shape, one.dtype, one.device
    return kind == (other.shape, other.dtype, other.device) and torch.equal(one, other)


def _by_itself(value: Any) -> Any:
    """A tensor that is a piece of a larger one is copied: kept as it is, it would keep the whole."""
    if isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.nbytes:
        return value.clone()
    return value


def _autocast() -> tuple[Any, ...]:
    """What autocast makes of networks just now, on the kinds of devices that there are."""
    kinds = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return tuple(torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) for kind in kinds)
