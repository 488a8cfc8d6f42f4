"""A benchmark's data as Lightning reads them: shared among devices, and kept from one run to the next."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from sclip_lightning.data.reading.dataset import KeptSamples, Sample, keep
from sclip_lightning.data.reading.handover import AheadLoader, InOnePiece
from sclip_lightning.data.reading.sampler import ShardSampler
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.data.reading.workers import ignore_interrupt
from sclip_lightning.engine.behind import has_spare_core

__all__ = ["SegmentationDataModule"]

#: Seconds in which processes that read must hand over the next batch. A process forked while another thread of its
#: parent starts or ends can wait for ever for a lock that this thread held (seen once in some hundred runs of two
#: processes on Python 3.11); no disk that can be worked with is as slow.
READING_TIME = 600.0


class SegmentationDataModule(LightningDataModule):
    """Samples shared among devices so that each is scored exactly once.

    Args:
        data: The benchmark that they come from, such as ``VOC21(root)``.

    Attributes:
        data: The argument.
        remaining: Indices of the samples that are still to be scored, the same on all devices; None for all.
        kept: Samples that stay in memory from one run to the next, for several runs on the same ones; None for none.
    """

    def __init__(self, data: SegmentationData) -> None:
        super().__init__()
        self.data = data
        self.remaining: Sequence[int] | None = None
        self.kept: dict[int, Sample] | None = None

    def prepare_data(self) -> None:
        """Make what is not there yet, in one process for all."""
        self.data.prepare()

    def setup(self, stage: str) -> None:
        """Find the samples; the files of those that remain are checked by one process for all.

        Raises:
            DataError: The root is not given, or something in it is missing or not as expected.
        """
        del stage
        self.data.setup(check=False)

    def test_dataloader(self) -> DataLoader[Sample]:
        """The samples of this rank; a batch is a list of them.

        Raises:
            ConfigError: No short side was given, nor a protocol that has one.
        """
        data, dataset = self.data, self.data.dataset
        data.set_pipeline()
        self._shard = self._sampler()
        # Processes that read would keep samples for themselves: they are kept here, in on_before_batch_transfer, and
        # once all are, nobody needs to read.
        workers = data.num_workers if self.kept is None or not self.kept.keys() >= set(self._shard) else 0
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        pinned = device.type == "cuda"
        # Where torch pins, it has a thread that receives; and what keeps samples is used by one thread alone.
        ahead = has_spare_core(device) and not (pinned if workers else self.kept is not None)
        return (AheadLoader if ahead else DataLoader)(
            dataset if self.kept is None or workers else KeptSamples(dataset, self.kept),
            batch_size=data.batch_size,
            sampler=self._shard,
            num_workers=workers,
            timeout=READING_TIME if workers else 0,
            collate_fn=InOnePiece if workers else list,
            worker_init_fn=ignore_interrupt,
            pin_memory=pinned,
        )

    def on_before_batch_transfer(self, batch: list[Sample], dataloader_idx: int) -> list[Sample]:
        """Keep what was read, where samples are to be kept."""
        if self.kept is not None:
            for sample in batch:
                keep(self.kept, sample)
        return batch

    def owns(self, index: int) -> bool:
        """Whether this rank scores a sample of ``test_dataloader``; it may get one that it does not own."""
        return self._shard.owns(index)

    def _sampler(self) -> ShardSampler:
        dataset = self.data.dataset
        if self.trainer is None:
            return ShardSampler(dataset, remaining=self.remaining)
        return ShardSampler(dataset, self.trainer.world_size, self.trainer.global_rank, self.remaining)
