"""One session over the images of a job: share them among processes, make the results of each and record it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import Generic, TypeVar

from tqdm import tqdm

from sclip_lightning.data.reading.images import ImageFile
from sclip_lightning.engine.arrivals import Arrivals
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.engine.orderly_end import orderly_end
from sclip_lightning.errors import DataError, RunError, message_of
from sclip_lightning.jobs.job import ImageJob
from sclip_lightning.jobs.manifest import open_folder
from sclip_lightning.jobs.processes import Launch, Team
from sclip_lightning.records.files import RecordWriter
from sclip_lightning.records.run import Session
from sclip_lightning.records.run_folder import clear_run, locked, remove_leftovers

__all__ = ["carried_out"]

W = TypeVar("W")
T = TypeVar("T")

#: What an image of which nothing can be made raises; others go through.
_OF_AN_IMAGE = (DataError, MemoryError, RuntimeError)


def carried_out(
    job: ImageJob[W, T],
    launch: Launch,
    load: Callable[[Team], W],
    explain: Callable[[BaseException], str | None],
    overwrite: bool = False,
) -> T | None:
    """Do what a job asks for, from the folder's first look to its last file.

    Args:
        job: What is asked for.
        launch: The processes, not started yet.
        load: Loads what makes the results, once the processes have met.
        explain: What an error means and what to do about it; None where nobody knows.
        overwrite: Delete the results that the folder holds.

    Returns:
        On the first process what there is to say of all images; on the others None.

    Raises:
        ConfigError: Nothing can be written to the folder, or it is not one of this command's.
        RunError: It holds results that cannot be gone on with, or nothing can be written any more.
        DataError: An image cannot be done and none are to be skipped, or none could be done.
        StoppedError: The session was asked to stop.
    """
    if launch.is_first:
        open_folder(job.folder, job.kind)
    stop = StopRequest()
    session: _JobSession[W, T] | None = None

    def progress() -> str:
        return _nothing_done(job) if session is None else session.progress()

    with (
        stop.listen(launch.is_first, launch.launcher),
        orderly_end(stop, explain, progress),
        locked(job.folder, job.kind.work, "--output_dir") if launch.is_first else nullcontext(),
    ):
        if launch.is_first:
            if overwrite:
                clear_run(job.folder, job.kind.written, (job.kind.manifest,))
            remove_leftovers(job.folder)
            job.check()
        team = launch.start()
        worker = load(team)
        session = _JobSession(job, team, stop, explain)
        return session.run(worker)


def _nothing_done(job: ImageJob[W, T]) -> str:
    return f"No image was done in this session; what was there before is in {job.folder}."


class _JobSession(Generic[W, T]):
    """A process's part in a session; every method is called by all processes, in the same order.

    Args:
        job: What is asked for.
        team: The processes.
        stop: Asked between images whether to go on.
        explain: As for :func:`carried_out`.
    """

    def __init__(
        self, job: ImageJob[W, T], team: Team, stop: StopRequest, explain: Callable[[BaseException], str | None]
    ) -> None:
        self.job = job
        self.team = team
        self.stop = stop
        self._explain = explain
        self._begun = False

    def run(self, worker: W) -> T | None:
        """Do what remains; see :func:`carried_out`."""
        job, team, stop = self.job, self.team, self.stop
        stop.watch(team.heartbeat(job.folder, stop.failure))
        made_with = job.made_with(worker)
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        session = Session(started, str(team), job.environment(worker, team.device))
        number, remaining = team.on_first(lambda: job.begin(made_with, session))
        self._begun = True
        try:
            self._share(worker, number, remaining)
        except RunError:  # of this process or of another
            self.progress()
            raise
        stop.end_images()
        stop.leave()  # nobody waits for another any more; the first process alone writes what is about all images
        return job.finish() if team.is_first else None

    def progress(self) -> str:
        """What there is to go on with, in words; the first process writes it down, too."""
        job, done = self.job, 0
        if not self._begun:
            return _nothing_done(job)
        with suppress(OSError, RunError):  # the disk may be full, and why the session ends is more important
            done = job.pause() if self.team.is_first else job.done()
        are = "is" if done == 1 else "are"
        return (
            f"What was done before lies in {job.folder} ({done} of {len(job.files)} images {are} done): the same "
            "command goes on from there."
        )

    def _share(self, worker: W, number: int, remaining: Sequence[int]) -> None:
        """Do this process's share of the images that remain, and wait for the others.

        Args:
            worker: Makes the results.
            number: That of the session.
            remaining: Indices of the images, the same for all processes.
        """
        job, team, stop = self.job, self.team, self.stop
        self._writer = RecordWriter(job.folder, number, team.rank)
        arrivals = Arrivals(job.folder, number, team.rank)
        stop.begin_images()
        own = remaining[team.rank :: team.number]  # as many as there are: none is done twice, and none padded
        for index in tqdm(own, job.kind.bar, unit="image", disable=not team.is_first):
            stop.check()
            self._do(worker, job.files[index])
        self._writer.close()
        arrivals.arrive()
        arrivals.wait_for(team.number, stop.check)

    def _do(self, worker: W, file: ImageFile) -> None:
        """Do one image; nothing of it is kept in memory."""
        try:
            self._make(worker, file)
        except _OF_AN_IMAGE as error:
            problem = message_of(error) if isinstance(error, DataError) else self._explain(error)
            if problem is None:
                raise
            if str(file.path) not in problem:
                problem = f"{file.path}: {problem}"
            if self.job.on_error == "stop":
                raise DataError(f"{problem} To skip such images: --on_error skip. {self.progress()}") from error
            self._writer.add(self.job.skipped(file, problem))

    def _make(self, worker: W, file: ImageFile) -> None:
        """Make an image's results. It is done once it has a record; where it gets none, it has no files either."""
        try:
            self._writer.add(self.job.make(worker, file))
        except BaseException:
            for path in self.job.results_of(file):
                path.unlink(missing_ok=True)
            raise
