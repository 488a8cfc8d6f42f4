"""Sharing a data set among processes so that every image is scored exactly once."""

from collections.abc import Iterator, Sized

from torch.utils.data import DistributedSampler

__all__ = ["ShardSampler"]


class ShardSampler(DistributedSampler[int]):
    """Gives rank r of N the indices r, r + N, r + 2N, ... and pads nothing.

    Lightning replaces a sampler of any other kind by a ``DistributedSampler``, which repeats images until all ranks
    have equally many; metrics would count those twice. It leaves a subclass of ``DistributedSampler`` alone. Shards of
    unequal length are safe in ``test``: the model is not wrapped in DDP there, so steps need not match between ranks.

    A rank without any index of its own yields index 0 nevertheless, since Lightning skips all hooks of a rank without
    batches, and collectives would then wait for it forever. Whoever scores samples must skip those that the rank does
    not own.

    Args:
        dataset: What is shared; must not be empty.
        num_replicas: Number of processes N. No process group is needed.
        rank: Rank r of this process, 0..N - 1.
    """

    def __init__(self, dataset: Sized, num_replicas: int = 1, rank: int = 0) -> None:
        # DistributedSampler's annotation asks for a Dataset, but only len() is used.
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.indices = range(rank, len(dataset), num_replicas) or range(1)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def owns(self, index: int) -> bool:
        """Whether this rank is the one that scores the sample."""
        return index % self.num_replicas == self.rank
