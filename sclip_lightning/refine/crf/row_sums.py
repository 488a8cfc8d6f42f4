"""Sparse matrices times dense ones, block by block.

``embedding_bag`` with weights is the fastest such product in torch: on a CPU an order of magnitude faster than
``index_add``, and twice as fast as sparse CSR tensors.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["RowSums"]


class RowSums:
    """Weighted sums of rows, one for each key: a sparse matrix times a dense one.

    Args:
        key: [E] int64, which sum each entry belongs to.
        index: [E] which row it takes ...
        weights: [E] float32 ... and how much of it; None takes 1.
        starts: The key that each block of sums starts with, ascending from 0.
        size: Keys are 0..size - 1, even those without entries; None takes the keys that have some.

    Attributes:
        keys: [rows] int64, the keys, ascending.
    """

    def __init__(
        self, key: Tensor, index: Tensor, weights: Tensor | None, starts: Sequence[int], size: int | None = None
    ) -> None:
        narrow = int(key.max()) < 2**31  # half the time to sort
        entries = len(key)
        ordered, order = key.to(torch.int32 if narrow else torch.int64).sort()
        if size is None:
            keys, counts = ordered.unique_consecutive(return_counts=True)
            self.keys = keys.long()
        else:
            self.keys, counts = torch.arange(size, device=key.device), key.bincount(minlength=size)
        del ordered
        self._index = index[order].int()
        self._weights = None if weights is None else weights[order]
        begins = counts.cumsum(0) - counts
        cuts = torch.searchsorted(self.keys, torch.tensor(starts, device=key.device))
        block = torch.searchsorted(cuts, torch.arange(len(self.keys), device=key.device), right=True) - 1
        self._offsets = (begins - begins[cuts][block]).int()
        self._rows = [slice(*cut) for cut in pairwise([*cuts.tolist(), len(self.keys)])]
        self._entries = [slice(*cut) for cut in pairwise([*begins[cuts].tolist(), entries])]

    def scale(self, number: int, factors: Tensor) -> None:
        """From now on, have one block multiply the [n, C] rows by [n] ``factors`` before it sums them."""
        assert self._weights is not None
        entries = self._entries[number]
        self._weights[entries] *= factors[self._index[entries]]

    def block(self, number: int, rows: Tensor, out: Tensor) -> None:
        """Write one block of sums of [n, C] ``rows`` to its place in [rows, C] ``out``."""
        sums, entries = self._rows[number], self._entries[number]
        weights = None if self._weights is None else self._weights[entries]
        out[sums] = F.embedding_bag(
            self._index[entries], rows, self._offsets[sums], mode="sum", per_sample_weights=weights
        )

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        """Write all sums of [*, C] ``rows`` to [rows, C] ``out``."""
        for number in range(len(self._rows)):
            self.block(number, rows, out)
