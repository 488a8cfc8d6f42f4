"""The start of a session: what is refused, where the run lies, which images are left, and what it says it is."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor

from sclip_lightning.data.reading.dataset import SKIP_ADVICE, Sample
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.engine.behind import Behind, has_spare_core
from sclip_lightning.engine.context import RunContext
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.engine.precision import settle_precision
from sclip_lightning.engine.ranks import Ranks
from sclip_lightning.engine.recording import Recording
from sclip_lightning.errors import ConfigError, DataError, RunError
from sclip_lightning.records.run import Run, Session

__all__ = [
    "begin_session",
    "check_trainer",
    "check_unchanged",
    "open_run",
    "remaining_images",
]


def check_trainer(trainer: Trainer) -> None:
    """Refuse what would change labels, or leave out images that the results would have to name.

    Raises:
        ConfigError: A precision that rounds weights and logits, or a part of the batches.
    """
    precision = str(trainer.precision)
    if precision != "32-true" and not precision.endswith("-mixed"):
        msg = (
            f"--trainer.precision {precision} would round the weights and the logits, too, which changes labels by "
            "percent. Use 32-true, bf16-mixed or 16-mixed."
        )
        raise ConfigError(msg)
    if isinstance(trainer.limit_test_batches, int) or trainer.limit_test_batches != 1.0:  # 1 is a batch, 1.0 is all
        msg = (
            f"--trainer.limit_test_batches {trainer.limit_test_batches} (or fast_dev_run) leaves out images "
            "that the results would have to name. Use --data.num_samples for a part of the data set."
        )
        raise ConfigError(msg)


def open_run(trainer: Trainer, data: SegmentationData, parts: str, segment: Callable[[Sample], Tensor]) -> RunContext:
    """Find the run's place: the logger's folder, without a logger a temporary one. A collective.

    Args:
        trainer: Set up, before the first image.
        data: Set up as well.
        parts: What the segmentor is made of, in words.
        segment: Labels of a sample, for callbacks.

    Raises:
        ConfigError: See :func:`check_trainer` and :func:`settle_precision`.
    """
    check_trainer(trainer)
    ranks = Ranks(trainer)
    log_dir = trainer.log_dir  # a broadcast: every rank must ask
    folder = Path(log_dir) if trainer.logger is not None and log_dir is not None else None
    settle_precision(trainer, ranks, folder)
    temporary = TemporaryDirectory(prefix="sclip-") if folder is None and ranks.is_first else None
    place = folder or Path(ranks.on_first(lambda: temporary.name if temporary else ""))
    recording = Recording(place, ranks.rank)
    behind = Behind(threaded=has_spare_core(ranks.device))
    return RunContext(
        folder, data.benchmark, data.dataset, recording, ranks, parts, segment, behind=behind, temporary=temporary
    )


def remaining_images(context: RunContext, data: SegmentationData) -> list[int]:
    """Indices of the images without a record, or without a file that a callback is to write of each. A collective.

    The headers of their files are checked, by the first rank for all.

    Args:
        context: The run.
        data: Its data, set up.

    Raises:
        DataError: Images share an id, by which records and files are kept, or a file is bad and none are to be skipped.
    """

    def remaining() -> list[int]:
        ids = context.ids
        repeated = [id_ for id_, number in Counter(ids).items() if number > 1]
        if repeated:
            raise DataError(
                f"The data set has several images of one id, {', '.join(repeated[:3])}, but records are kept by id. "
                "Give every image a name of its own."
            )
        finished = context.recording.finished()
        for lacking in context.lacking:
            finished -= lacking(finished)
        left = [index for index, id_ in enumerate(ids) if id_ not in finished]
        try:
            data.check_files(left)
        except DataError as error:
            raise DataError(f"{error} {SKIP_ADVICE}") from error
        return left

    def remaining_or_problem() -> list[int] | DataError:
        try:
            return remaining()
        except DataError as error:
            return error  # for all ranks to raise: those that wait for an answer need one

    found = context.ranks.on_first(remaining_or_problem)
    if isinstance(found, DataError):
        raise found
    return found


def check_unchanged(context: RunContext) -> None:
    """Hold the files of the images that have been scored against what their records say of them.

    Raises:
        RunError: Some are others now, so that the scores would be of two data sets.
    """
    changed = context.dataset.changed(context.recording.fingerprints())
    if changed:
        others = f" (and {len(changed) - 1} more)" if changed[1:] else ""
        msg = (
            f"{context.recording.folder} holds scores of images whose files have changed since: {changed[0]}{others}. "
            "Going on would mix two data sets. Put back the files that the run was started with, choose another --name "
            "for a run of its own, or start afresh with --overwrite."
        )
        raise RunError(msg)


def begin_session(
    context: RunContext,
    data: SegmentationData,
    boundaries: Sequence[str],
    protocol: Callable[[], Mapping[str, Any]],
    notes: Sequence[str],
    complete: bool,
) -> None:
    """Say in the run's folder what the run is, and take part in it. A collective.

    Args:
        context: The run.
        data: Its data, set up.
        boundaries: Names of the boundary scores.
        protocol: Makes everything the scores depend on, images aside; called by the first rank alone.
        notes: What a reader must know before quoting a score.
        complete: No image remains.

    Raises:
        RunError: The folder holds a run of another kind, or one of images that have changed.
    """

    def begin() -> int:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        session = Session(started, str(context.ranks), describe_environment(context.ranks.device))
        run = Run(
            benchmark=context.benchmark.name,
            classes=list(context.benchmark.classes),
            boundaries=list(boundaries),
            protocol=dict(protocol()),
            ids=context.ids,
            split_size=data.split_size,
            notes=list(notes),
            sessions=[session],
        )
        run.continues(Run.load(context.recording.folder), context.recording.folder)  # another protocol says more
        check_unchanged(context)
        return context.recording.begin(run, complete=complete)

    context.recording.join(context.ranks.on_first(begin))
