"""Several runs on the images that all of them have scored. Imports numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sclip_lightning.errors import RunError
from sclip_lightning.records import ImageRecord, load_records
from sclip_lightning.records.run import Run
from sclip_lightning.reports.comparison import ImageTable, tabulate

__all__ = ["SideBySide"]


@dataclass(frozen=True)
class SideBySide:
    """Runs of one benchmark, and what they have in common.

    Attributes:
        runs: What each is.
        ids: The images that all have scored, in the order of the first.
        records: Theirs, by run.
        tables: Their counts, by run.
    """

    runs: list[Run]
    ids: list[str]
    records: list[list[ImageRecord]]
    tables: list[ImageTable]

    @classmethod
    def load(cls, folders: Sequence[Path]) -> "SideBySide":
        """Read finished runs.

        Raises:
            RunError: No image was scored in all of them.
        """
        runs = [_run(folder) for folder in folders]
        all_records = [load_records(folder).of(run.ids) for folder, run in zip(folders, runs, strict=True)]
        common = set.intersection(*({record.id for record in records.images} for records in all_records))
        ids = [id_ for id_ in runs[0].ids if id_ in common]
        if not ids:
            msg = f"The runs below {folders[0].parent} have scored no image in common. Evaluate again with --overwrite."
            raise RunError(msg)
        chosen = [records.of(ids).images for records in all_records]
        tables = [tabulate(one, len(run.classes), run.boundaries) for one, run in zip(chosen, runs, strict=True)]
        return cls(runs, ids, chosen, tables)


def _run(folder: Path) -> Run:
    run = Run.load(folder)
    assert run is not None  # it has just ended
    return run
