"""One session over the images of a job: share them among processes, make the results of each and record it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from tqdm import tqdm

from sclip_lightning.data.reading.images import ImageFile, turned_size
from sclip_lightning.engine.arrivals import Arrivals
from sclip_lightning.engine.behind import Behind, has_spare_core
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.engine.orderly_end import orderly_end
from sclip_lightning.errors import DataError, RunError, StoppedError, message_of
from sclip_lightning.jobs.ahead import Ahead
from sclip_lightning.jobs.job import ImageJob
from sclip_lightning.jobs.manifest import open_folder
from sclip_lightning.jobs.processes import Launch, Team
from sclip_lightning.records.files import RecordWriter
from sclip_lightning.records.run import Session
from sclip_lightning.records.run_folder import clear_run, locked, remove_leftovers

__all__ = ["carried_out"]

W = TypeVar("W")
R = TypeVar("R")
M = TypeVar("M")
T = TypeVar("T")

#: Most bytes of an image that waits, to be worked on or to be written: those of a camera's 12 megapixels with their
#: labels, 61 MB. One image ahead and four behind then are 0.3 GiB; a process that has loaded CLIP takes one and a half
#: (benchmarks/RESULTS.md, photographs). Larger images are done by themselves, and have all memory.
WAITING_BYTES = 2**26
#: What an image of which nothing can be made raises; others go through.
_OF_AN_IMAGE = (DataError, MemoryError, RuntimeError)


def carried_out(
    job: ImageJob[W, R, M, T],
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
    session: _JobSession[W, R, M, T] | None = None

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


def _nothing_done(job: ImageJob[W, R, M, T]) -> str:
    return f"No image was done in this session; what was there before is in {job.folder}."


class _JobSession(Generic[W, R, M, T]):
    """A process's part in a session; every method is called by all processes, in the same order.

    Args:
        job: What is asked for.
        team: The processes.
        stop: Asked between images whether to go on.
        explain: As for :func:`carried_out`.
    """

    def __init__(
        self, job: ImageJob[W, R, M, T], team: Team, stop: StopRequest, explain: Callable[[BaseException], str | None]
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
        own = [job.files[index] for index in remaining[team.rank :: team.number]]  # none is done twice, none padded
        with tqdm(total=len(own), desc=job.kind.bar, unit="image", disable=not team.is_first) as self._bar:
            ahead, self._behind = Ahead(partial(job.read, worker)), Behind()
            try:
                for file, waits, following in self._in_turn(worker, own):
                    self._behind.check()
                    stop.check()
                    self._do(worker, file, waits, ahead, following)
                self._behind.wait()
            except StoppedError:
                self._behind.wait()  # what goes wrong with an image in hand is said instead, as ever
                raise
            finally:  # however it ends, what was made is written before anybody counts what is done
                ahead.end()
                self._behind.end()
        self._writer.close()
        arrivals.arrive()
        arrivals.wait_for(team.number, stop.check)

    def _in_turn(self, worker: W, files: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, bool, ImageFile | None]]:
        """Every image, whether it may wait, and the next one where that may be read while this one is worked on."""
        threaded, left = has_spare_core(self.team.device), iter(files)

        def taken() -> tuple[ImageFile | None, bool]:
            file = next(left, None)
            return file, threaded and file is not None and self._may_wait(worker, file)

        file, waits = taken()
        while file is not None:
            following, waits_too = taken()
            yield file, waits, following if waits and waits_too else None
            file, waits = following, waits_too

    def _may_wait(self, worker: W, file: ImageFile) -> bool:
        """Whether little is kept of an image while it waits."""
        try:
            height, width = turned_size(file.path)
        except DataError:
            return True  # there is nothing to keep, and who reads it says why
        return self.job.weight(worker, height * width) <= WAITING_BYTES

    def _do(self, worker: W, file: ImageFile, waits: bool, ahead: Ahead[R], following: ImageFile | None) -> None:
        """Have an image's results made, and then written, behind this thread where the image may wait."""
        if not waits:
            self._behind.wait()
        try:
            read = ahead.take(file)
            if following is not None:
                ahead.begin(following)
            made = self.job.make(worker, file, read)
        except BaseException as error:
            self._behind.wait()  # what came before this image comes first, errors included
            self._give_up(file, error)
            return
        if waits:
            self._behind.hand_over(partial(self._write, file, made))
        else:
            self._write(file, made)

    def _write(self, file: ImageFile, made: M) -> None:
        """Write an image's results and record it: it is done once it has a record."""
        try:
            self._writer.add(self.job.write(file, made))
        except BaseException as error:
            self._give_up(file, error)
        else:
            self._bar.update()

    def _give_up(self, file: ImageFile, error: BaseException) -> None:
        """Leave an image without record and files, or record that it is skipped; raises unless it may be."""
        for path in self.job.results_of(file):
            path.unlink(missing_ok=True)
        problem = None
        if isinstance(error, _OF_AN_IMAGE):
            problem = message_of(error) if isinstance(error, DataError) else self._explain(error)
        if problem is None:
            raise error
        if str(file.path) not in problem:
            problem = f"{file.path}: {problem}"
        if self.job.on_error == "stop":
            raise DataError(f"{problem} To skip such images: --on_error skip. {self.progress()}") from error
        self._writer.add(self.job.skipped(file, problem))
        self._bar.update()
