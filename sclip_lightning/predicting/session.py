"""One session over the images of a job: share them among processes, segment them, write and record each."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from sclip_lightning.data.reading.images import ImageFile, turned_size
from sclip_lightning.engine.arrivals import Arrivals
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.errors import DataError, RunError, message_of
from sclip_lightning.files import replacing
from sclip_lightning.predicting.job import PredictionJob
from sclip_lightning.predicting.processes import Team
from sclip_lightning.predicting.settings import protocol_of
from sclip_lightning.records.files import RecordWriter
from sclip_lightning.records.predicted import PredictedImage, PredictedImages
from sclip_lightning.records.run import Session
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.segmentor import Segmentor

__all__ = ["PredictionSession", "nothing_done"]

#: What an image that cannot be segmented raises; others go through.
_OF_AN_IMAGE = (DataError, MemoryError, RuntimeError)


def nothing_done(folder: Path) -> str:
    """What there is to go on with where the first image was not begun, in words."""
    return f"No image was segmented in this session; what was there before is in {folder}."


class PredictionSession:
    """A process's part in a session; every method is called by all processes, in the same order.

    Args:
        job: What is asked for.
        team: The processes.
        stop: Asked between images whether to go on.
        explain: What an error means and what to do about it; None where nobody knows.
    """

    def __init__(
        self, job: PredictionJob, team: Team, stop: StopRequest, explain: Callable[[BaseException], str | None]
    ) -> None:
        self.job = job
        self.team = team
        self.stop = stop
        self._explain = explain
        self._begun = False

    def run(self, segmentor: Segmentor) -> tuple[ShareTable, list[str]] | None:
        """Segment what remains.

        Returns:
            On the first process the shares of all images, and why some have none; on the others None.

        Raises:
            RunError: The folder holds predictions that cannot be gone on with, or nothing can be written.
            DataError: An image cannot be segmented and none are to be skipped, or none could be segmented.
            StoppedError: The session was asked to stop.
        """
        job, team, stop = self.job, self.team, self.stop
        stop.watch(team.heartbeat(job.folder, stop.failure))
        protocol = protocol_of(segmentor, job.vocabulary) | (job.maps.describe() if job.maps else {})
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        session = Session(started, str(team), describe_environment(segmentor.device))
        number, remaining = team.on_first(lambda: job.begin(protocol, session))
        self._begun = True
        try:
            self._share(segmentor, number, remaining)
        except RunError:  # of this process or of another
            self.progress()
            raise
        stop.end_images()
        stop.leave()  # nobody waits for another any more; the first process alone writes what is about all images
        return self._finish() if team.is_first else None

    def _share(self, segmentor: Segmentor, number: int, remaining: Sequence[int]) -> None:
        """Do this process's share of the images that remain, and wait for the others.

        Args:
            segmentor: Whose labels these are.
            number: That of the session.
            remaining: Indices of the images, the same for all processes.
        """
        job, team, stop = self.job, self.team, self.stop
        self._writer = RecordWriter(job.folder, number, team.rank)
        arrivals = Arrivals(job.folder, number, team.rank)
        stop.begin_images()
        own = remaining[team.rank :: team.number]  # as many as there are: none is done twice, and none padded
        for index in tqdm(own, "Segmenting", unit="image", disable=not team.is_first):
            stop.check()
            self._predict(segmentor, job.files[index])
        self._writer.close()
        arrivals.arrive()
        arrivals.wait_for(team.number, stop.check)

    def progress(self) -> str:
        """What there is to go on with, in words; the first process writes it down, too."""
        job, done = self.job, 0
        if not self._begun:
            return nothing_done(job.folder)
        with suppress(OSError, RunError):  # the disk may be full, and why the session ends is more important
            done = job.pause() if self.team.is_first else len(PredictedImages(job.folder).done)
        are = "image is" if done == 1 else "images are"
        return (
            f"What was done before lies in {job.folder} ({done} of {len(job.files)} {are} done): the same command goes "
            "on from there."
        )

    def _finish(self) -> tuple[ShareTable, list[str]]:
        job = self.job
        table, skipped = job.finish()
        if not table.images:
            raise DataError(f"None of the {len(job.files)} images could be segmented. The first: {skipped[0]}")
        return table, skipped

    def _predict(self, segmentor: Segmentor, file: ImageFile) -> None:
        """Segment one image and write what it gives; nothing of it is kept in memory.

        It is done once it has a record. Where it gets none, it has no files either.
        """
        try:
            self._write(segmentor, file)
        except _OF_AN_IMAGE as error:
            if isinstance(error, DataError):
                problem = message_of(error)
            elif (advice := self._explain(error)) is not None:
                problem = advice
            else:
                raise
            if str(file.path) not in problem:
                problem = f"{file.path}: {problem}"
            if self.job.on_error == "stop":
                raise DataError(f"{problem} To skip such images: --on_error skip. {self.progress()}") from error
            self._writer.add(PredictedImage(str(file.path), file.name, skipped=problem))

    def _write(self, segmentor: Segmentor, file: ImageFile) -> None:
        labels, overlay = self.job.results_of(file.name)
        stamp = self.job.stamp_of(file)
        try:
            maps = self.job.maps
            regions = None if maps is None else maps.read(file.map_names, turned_size(file.path))
            prediction = segmentor.predict(file.path, self.job.vocabulary, regions=regions)
            prediction.save(labels)
            with replacing(overlay) as temporary:
                prediction.overlay(file.name).save(temporary, format="PNG")
            height, width = prediction.labels.shape
            counts = tuple(prediction.counts().tolist())
            self._writer.add(PredictedImage(str(file.path), file.name, (height, width), counts, stamp))
        except BaseException:
            labels.unlink(missing_ok=True)
            overlay.unlink(missing_ok=True)
            raise
