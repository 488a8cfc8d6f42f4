"""One process's part in a run: what is still to do, the records it adds, and all records at the end."""

import time
from collections.abc import Callable
from pathlib import Path

from sclip_lightning.engine.arrivals import Arrivals
from sclip_lightning.errors import RunError
from sclip_lightning.records import ImageCounts, ImageRecord, Records, RecordWriter, load_records
from sclip_lightning.records.artefacts import RECORDS, REPORTED, RESULTS, RUN
from sclip_lightning.records.run import Run

__all__ = ["Recording"]


class Recording:
    """Keeps the records of a run in its folder.

    Args:
        folder: The run's folder, the same for all processes.
        rank: Number of this process.

    Attributes:
        run: The run with all its sessions; only once ``begin`` was called, and on rank 0.
        added: Number of images that this process scored in this session.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder = folder
        self.rank = rank
        self.added = 0
        self.run: Run | None = None

    def finished(self) -> set[str]:
        """Ids of the images that have been scored."""
        return {record.id for record in load_records(self.folder).images}

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """What the files of the images that have been scored were, by id."""
        return {record.id: record.fingerprint for record in load_records(self.folder).images}

    def begin(self, run: Run, complete: bool) -> int:
        """Rank 0 alone: describe the run in its folder, before its first image.

        A run that is complete and reported is only held against its description.

        Args:
            run: The run as this session sees it.
            complete: Whether no image is left to do.

        Returns:
            The number of this session, for ``join`` on every rank.

        Raises:
            RunError: The folder holds another run, or records of an unknown one.
        """
        earlier = Run.load(self.folder)
        self.run = run.continues(earlier, self.folder)
        if earlier is None and any((self.folder / RECORDS).glob("*.jsonl")):
            msg = (
                f"{self.folder} holds records but no {RUN} that says of which run, so that they cannot be continued. "
                f"Choose another --name, or delete {self.folder / RECORDS}."
            )
            raise RunError(msg)
        if complete and earlier is not None and (self.folder / RESULTS).is_file():
            self.run = earlier
        else:
            (self.folder / RECORDS / REPORTED).unlink(missing_ok=True)
            (self.folder / RESULTS).unlink(missing_ok=True)  # what is there is not all there is to report
            self.run.save(self.folder)
        return len(self.run.sessions) - 1

    def join(self, session: int) -> None:
        """Take part in a session: from now on records can be added."""
        self.session = session
        self._writer = RecordWriter(self.folder, session, self.rank)
        self._arrivals = Arrivals(self.folder, session, self.rank)

    def scored(self, id_: str, counts: ImageCounts, seconds: float, fingerprint: dict[str, str]) -> None:
        """Record an image; raises ``RunError`` where that cannot be written."""
        self._writer.add(ImageRecord(id_, counts, seconds, time.time(), fingerprint=fingerprint))
        self.added += 1

    def skipped(self, id_: str, reason: str) -> None:
        """Record that an image could not be scored, and why."""
        self._writer.add(ImageRecord(id_, time=time.time(), skipped=reason))

    @property
    def reported(self) -> bool:
        """Whether everything has been made of the results; what was interrupted while it drew has only written them."""
        return (self.folder / RECORDS / REPORTED).is_file()

    def mark_reported(self) -> None:
        """Say so."""
        (self.folder / RECORDS / REPORTED).touch()

    def arrive(self) -> None:
        """Say that this process has nothing to add."""
        self._writer.close()
        self._arrivals.arrive()

    def wait_for(self, processes: int, check: Callable[[], None]) -> None:
        """Wait until all processes have arrived; see :meth:`Arrivals.wait_for`."""
        self._arrivals.wait_for(processes, check)

    def session_records(self) -> list[ImageRecord]:
        """All images scored in this session, by any process."""
        return load_records(self.folder, self.session).images

    def all_records(self) -> Records:
        """Rank 0 alone: the records of all sessions.

        Raises:
            RunError: An image has no record, or none was scored.
        """
        assert self.run is not None
        ids = self.run.ids
        records = load_records(self.folder).of(ids)
        recorded = {record.id for record in (*records.images, *records.skipped)}
        missing = [id_ for id_ in ids if id_ not in recorded]
        if missing:
            msg = (
                f"{len(missing)} of the {len(ids)} images have no record in {self.folder}: {', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}. Either a record file was removed during the run, or the "
                "processes do not share this folder: with several machines, choose one that all of them see with "
                "--output_dir. The same command goes on with what is missing."
            )
            raise RunError(msg)
        if not records.images:
            msg = (
                f"None of the {len(ids)} images could be scored. The first, {records.skipped[0].id}, was skipped "
                f"because: {records.skipped[0].skipped}"
            )
            raise RunError(msg)
        return records
