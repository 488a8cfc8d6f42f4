"""Sharing a data set among processes so that every image is scored exactly once."""

from collections.abc import Iterator, Sequence, Sized

from torch.utils.data import DistributedSampler

__all__ = ["ShardSampler"]


class ShardSampler(DistributedSampler[int]):
    """Gives rank r of N every N-th of the indices, from the r-th on, and pads nothing.

    Lightning replaces a sampler of any other kind by a ``DistributedSampler``, which repeats images until all ranks
    have equally many; metrics would count those twice. It leaves a subclass of ``DistributedSampler`` alone. Shards of
    unequal length are safe in ``test``: the model is not wrapped in DDP there, so steps need not match between ranks.

    A rank without any index of its own yields one that it does not own, since Lightning skips all hooks of a rank
    without batches, and collectives would then wait for it forever. Whoever scores samples must skip those that the
    rank does not own.

    Args:
        dataset: What is shared; must not be empty.
        num_replicas: Number of processes N. No process group is needed.
        rank: Rank r of this process, 0..N - 1.
        remaining: The indices to share, the same on all ranks; all of the data set by default.
    """

    def __init__(
        self, dataset: Sized, num_replicas: int = 1, rank: int = 0, remaining: Sequence[int] | None = None
    ) -> None:
        # DistributedSampler's annotation asks for a Dataset, but only len() is used.
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        shared = range(len(dataset)) if remaining is None else remaining
        own = shared[rank::num_replicas]
        self.indices = own or shared[:1] or range(1)
        self._own = frozenset(own)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def owns(self, index: int) -> bool:
        """Whether this rank is the one that scores the sample."""
        return index in self._own
