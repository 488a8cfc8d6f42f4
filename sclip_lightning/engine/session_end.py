"""The end of a session: all processes have arrived, sums are held against records, and these add up to results."""

from typing import Any

from sclip_lightning.engine.context import RunContext
from sclip_lightning.engine.environment import peak_memory
from sclip_lightning.engine.evaluation import Evaluation, check_agreement
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.reports.results import Results, results_of

__all__ = ["add_up", "end_session"]


def end_session(
    context: RunContext, evaluation: Evaluation, stop: StopRequest, seconds: float, anything_done: bool
) -> None:
    """Add up a run, after which no process waits for another any more. A collective; arguments as :func:`add_up`.

    Raises:
        RunError: As there.
        StoppedError: Likewise.
    """
    add_up(context, evaluation, stop, seconds, anything_done)
    stop.leave()  # the first process alone may draw and write for minutes


def add_up(context: RunContext, evaluation: Evaluation, stop: StopRequest, seconds: float, anything_done: bool) -> None:
    """Merge the records of all processes; the results then lie in the context of every one of them. A collective.

    Args:
        context: The run.
        evaluation: The metrics of the images that this process counted.
        stop: Asked while waiting for the others.
        seconds: How long this process took for its images.
        anything_done: Whether images were left to do when the session began.

    Raises:
        RunError: Records are missing, or do not agree with the metrics.
        StoppedError: The run was asked to stop while it waited.
    """
    ranks, recording = context.ranks, context.recording
    recording.arrive()
    recording.wait_for(ranks.number, stop.check)
    stop.end_images()
    if anything_done:
        computed = evaluation.compute()
        ranks.on_first(lambda: check_agreement(recording.session_records(), context.benchmark.classes, computed))
    seconds = ranks.gather(seconds).max().item()
    images = int(ranks.gather(recording.added).sum())
    performance = {
        "devices": str(ranks),
        "images per second": images / seconds,
        "seconds": seconds,
        "peak memory GiB": ranks.gather(peak_memory(ranks.device)).max().item() / 2**30,
    }
    context.results, context.reported_before = ranks.on_first(
        lambda: _results(context, performance, images, anything_done)
    )


def _results(
    context: RunContext, performance: dict[str, Any], images: int, anything_done: bool
) -> tuple[Results, bool]:
    """The results of all sessions, of which the last scored so many images; and whether they were there before."""
    recording = context.recording
    run = recording.run
    assert run is not None  # the first rank has begun it
    reported = None if anything_done else Results.load(recording.folder)
    if reported is not None:
        return reported, recording.reported
    if len(run.sessions) > 1:
        performance |= {"sessions": len(run.sessions), "images in the last session": images}
    return results_of(run, recording.all_records(), performance), False
