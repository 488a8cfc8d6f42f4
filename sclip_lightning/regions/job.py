"""Segment maps of many images: what is asked for, what of it is done, and one session's work."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sclip_lightning.data.reading.images import ImageFile, stamp_of
from sclip_lightning.engine.arrivals import Arrivals
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.errors import DataError, RunError, message_of
from sclip_lightning.predicting.processes import Team
from sclip_lightning.records.files import RecordWriter
from sclip_lightning.records.run import Session
from sclip_lightning.records.whole import is_whole
from sclip_lightning.regions.folder import COMPLETE, UNFINISHED, MapSettings, made_with, write_map
from sclip_lightning.regions.maker import LoadedMaker
from sclip_lightning.regions.records import MapRecord, recorded

__all__ = ["MapJob", "MapSession", "OnError"]

OnError = Literal["stop", "skip"]

#: What an image of which no map can be made raises; others go through.
_OF_AN_IMAGE = (DataError, MemoryError, RuntimeError)


@dataclass(frozen=True)
class MapJob:
    """What is asked for. What is said of all images together, the first process alone writes.

    Attributes:
        files: The images; no two of them have one stem.
        read: Reads one as [H, W, 3] uint8 RGB.
        turned: Whether it is turned as its EXIF orientation says.
        folder: Where maps are written, ``<stem>.npz``.
        on_error: What to do about an image that cannot be read or segmented.

    Raises:
        DataError: Two images have one stem; case does not tell files apart on every system.
    """

    files: Sequence[ImageFile]
    read: Callable[[Path], npt.NDArray[np.uint8]]
    turned: bool
    folder: Path
    on_error: OnError = "stop"

    def __post_init__(self) -> None:
        taken: dict[str, Path] = {}
        for file in self.files:
            other = taken.setdefault(file.path.stem.casefold(), file.path)
            if other != file.path:
                raise DataError(_same_stem(other, file.path))

    def remaining(self) -> list[int]:
        """Indices of the images without a map, or whose file is another now.

        Raises:
            RunError: The folder holds the map of another image under a name that is needed.
        """
        records = recorded(self.folder)
        owners = {record.id.casefold(): path for path, record in records.items() if record.skipped is None}
        for file in self.files:
            owner = owners.get(file.path.stem.casefold(), str(file.path))
            if owner != str(file.path):
                msg = f"{_same_stem(Path(owner), file.path)} The first has a map in {self.folder} already."
                raise RunError(msg)
        return [index for index, file in enumerate(self.files) if not self._is_done(file, records)]

    def map_of(self, file: ImageFile) -> Path:
        """Where an image's map lies."""
        return self.folder / f"{file.path.stem}.npz"

    def begin(self, maker: LoadedMaker, session: Session) -> tuple[int, list[int]]:
        """Say in the folder what it is going to hold, before the first image.

        Returns:
            The number of the session, and what :meth:`remaining` says.

        Raises:
            RunError: The folder holds maps that cannot be gone on with.
        """
        earlier = MapSettings.load(self.folder)
        now = MapSettings(made_with(maker, self.turned))
        if earlier is not None:
            now.check_continues(earlier, self.folder)
        remaining = self.remaining()
        sessions = earlier.sessions if earlier is not None else ()
        if remaining or earlier is None:
            replace(now, sessions=[*sessions, session]).save(self.folder)
            self.write_progress(UNFINISHED)
        return len(sessions), remaining

    def write_progress(self, state: str) -> list[MapRecord]:
        """Write into ``masks.json`` how far it has come; returns the records of those images that have one."""
        found = recorded(self.folder)
        records = [found[str(file.path)] for file in self.files if str(file.path) in found]
        maps = [record for record in records if record.skipped is None]
        skipped = [record.skipped for record in records if record.skipped is not None]
        empty = sum(not record.segments for record in maps)
        settings = MapSettings.load(self.folder)
        assert settings is not None  # written when the session began
        now = replace(settings, state=state, images=len(self.files), done=len(maps), empty=empty)
        now = replace(now, skipped=skipped if state == COMPLETE else ())
        if now != settings:
            now.save(self.folder)
        return records

    def _is_done(self, file: ImageFile, records: dict[str, MapRecord]) -> bool:
        known = records.get(str(file.path))
        if known is None or known.skipped is not None or known.stamp != stamp_of(file.path):
            return False
        path = self.map_of(file)
        return path.is_file() and is_whole(path)


class MapSession:
    """A process's part in a session; every method is called by all processes, in the same order.

    Args:
        job: What is asked for.
        team: The processes.
        stop: Asked between images whether to go on.
        explain: What an error means and what to do about it; None where nobody knows.
    """

    def __init__(
        self, job: MapJob, team: Team, stop: StopRequest, explain: Callable[[BaseException], str | None]
    ) -> None:
        self.job = job
        self.team = team
        self.stop = stop
        self._explain = explain
        self._begun = False

    def run(self, maker: LoadedMaker) -> list[MapRecord] | None:
        """Make the maps that remain.

        Returns:
            On the first process the records of all images; on the others None.

        Raises:
            RunError: The folder holds maps that cannot be gone on with, or nothing can be written.
            DataError: An image cannot be read or segmented, and none are to be skipped.
            StoppedError: The session was asked to stop.
        """
        job, team, stop = self.job, self.team, self.stop
        stop.watch(team.heartbeat(job.folder, stop.failure))
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        session = Session(started, str(team), describe_environment(team.device) | dict(maker.libraries))
        number, remaining = team.on_first(lambda: job.begin(maker, session))
        self._begun = True
        try:
            self._share(maker, number, remaining)
        except RunError:  # of this process or of another
            self.progress()
            raise
        stop.end_images()
        stop.leave()  # nobody waits for another any more
        return job.write_progress(COMPLETE) if team.is_first else None

    def _share(self, maker: LoadedMaker, number: int, remaining: Sequence[int]) -> None:
        """Do this process's share of the images that remain, and wait for the others.

        Args:
            maker: Who makes the maps.
            number: That of the session.
            remaining: Indices of the images, the same for all processes.
        """
        job, team, stop = self.job, self.team, self.stop
        self._writer = RecordWriter(job.folder, number, team.rank)
        arrivals = Arrivals(job.folder, number, team.rank)
        stop.begin_images()
        own = remaining[team.rank :: team.number]
        for index in tqdm(own, "Making segment maps", unit="image", disable=not team.is_first):
            stop.check()
            self._make(maker, job.files[index])
        self._writer.close()
        arrivals.arrive()
        arrivals.wait_for(team.number, stop.check)

    def progress(self) -> str:
        """What there is to go on with, in words; the first process writes it down, too."""
        job = self.job
        if not self._begun:
            return f"No segment map was made in this session; what was there before is in {job.folder}."
        done = 0
        with suppress(OSError, RunError):  # the disk may be full, and why the session ends is more important
            records = job.write_progress(UNFINISHED) if self.team.is_first else list(recorded(job.folder).values())
            done = sum(record.skipped is None for record in records)
        have = "has" if done == 1 else "have"
        return f"{done} of {len(job.files)} images {have} a map in {job.folder}: the same command goes on from there."

    def _make(self, maker: LoadedMaker, file: ImageFile) -> None:
        """Make one map and record it; where an image gets no record, it has no map either."""
        path, target = file.path, self.job.map_of(file)
        stamp = stamp_of(path)
        try:
            segments = maker.segment(self.job.read(path))
            write_map(target, segments)
            number = int(np.count_nonzero(np.unique(segments)))
            covered = float(np.count_nonzero(segments) / segments.size)
            self._writer.add(MapRecord(str(path), path.stem, number, covered, stamp))
        except BaseException as error:
            target.unlink(missing_ok=True)
            if not isinstance(error, _OF_AN_IMAGE):
                raise
            problem = message_of(error) if isinstance(error, DataError) else self._explain(error)
            if problem is None:
                raise
            if str(path) not in problem:
                problem = f"{path}: {problem}"
            if self.job.on_error == "stop":
                raise DataError(f"{problem} To skip such images: --on_error skip. {self.progress()}") from error
            self._writer.add(MapRecord(str(path), path.stem, skipped=problem))


def _same_stem(one: Path, other: Path) -> str:
    return (
        f"{one} and {other} have one stem, but maps are called by it, <stem>.npz, in one flat folder. Give them "
        "different names, or make maps for them in two commands, each with an --output_dir of its own."
    )
