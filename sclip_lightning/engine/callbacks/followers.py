"""Scoring the images of a run under other class names, too, while their features are at hand."""

from collections.abc import Sequence
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.context import run_context
from sclip_lightning.engine.follower import Follower, recall_for
from sclip_lightning.engine.module import SegmentationModule

__all__ = ["Followers"]


class Followers(Callback):
    """Has followers score every image of a run.

    An image counts as finished once all of them have scored it, so a run that was ended goes on with those that one
    lacks.

    Args:
        followers: One for each further vocabulary.
    """

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have features kept, and images taken that a follower lacks."""
        del trainer, stage
        cast(SegmentationModule, pl_module).recall = recall_for(self._followers)
        run_context(pl_module).lacking += [follower.lacking for follower in self._followers]

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin all runs."""
        del trainer
        for follower in self._followers:
            follower.begin(cast(SegmentationModule, pl_module))

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Sample],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the images of this batch in the precision of the test, and forget their features."""
        module = cast(SegmentationModule, pl_module)
        with trainer.precision_plugin.test_step_context():
            for sample in batch:
                if module.datamodule.owns(sample["index"]):
                    for follower in self._followers:
                        follower.score(sample)
        assert module.recall is not None  # see setup
        module.recall.clear()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End all runs, before the leading one ends."""
        del trainer, pl_module
        for follower in self._followers:
            follower.end()
