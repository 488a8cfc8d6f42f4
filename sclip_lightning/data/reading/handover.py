"""Samples on their way from where they are read to the network."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sclip_lightning.data.reading.dataset import Sample

__all__ = ["AheadLoader", "InOnePiece"]

#: Bytes between the beginnings of two tensors: a multiple of the size of every type.
ALIGNMENT = 64


class _Place(NamedTuple):
    """Where a tensor lies in the one piece."""

    begin: int
    dtype: torch.dtype
    shape: torch.Size


class InOnePiece:
    """Samples which another process receives as a list of samples, their tensors side by side in one piece of memory.

    Of every tensor that is sent by itself the receiver asks the sender for a handle, over a connection of its own. That
    takes more than a millisecond, whatever the size, from the thread that the network waits for.

    Args:
        samples: In CPU memory.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __reduce__(self) -> tuple[Any, ...]:
        size, described = 0, []
        for sample in self._samples:
            description: dict[str, Any] = dict(sample)
            for name, value in sample.items():
                if isinstance(value, Tensor):
                    description[name] = _Place(size, value.dtype, value.shape)
                    size += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
            described.append(description)
        memory = torch.empty(size, dtype=torch.uint8)
        for sample, description in zip(self._samples, described, strict=True):
            for name, place in description.items():
                if isinstance(place, _Place):
                    _tensor(memory, place).copy_(cast(Tensor, cast(dict[str, Any], sample)[name]))
        return _received, (memory, described)


def _received(memory: Tensor, described: Sequence[dict[str, Any]]) -> list[Sample]:
    """The samples, with tensors that are views of the memory."""
    return [
        cast(Sample, {name: _tensor(memory, v) if isinstance(v, _Place) else v for name, v in description.items()})
        for description in described
    ]


def _tensor(memory: Tensor, place: _Place) -> Tensor:
    size = place.shape.numel() * place.dtype.itemsize
    return memory[place.begin : place.begin + size].view(place.dtype).view(place.shape)


class AheadLoader(DataLoader[Sample]):
    """Hands out a batch that was read, or received from a process that reads, while the one before was worked on."""

    def __iter__(self) -> Iterator[list[Sample]]:  # type: ignore[override]
        batches = super().__iter__()  # in this thread: processes that read are forked before there is another
        with ThreadPoolExecutor(1, "ahead-of-the-network") as thread:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch
