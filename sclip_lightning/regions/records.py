"""What is recorded of an image whose segment map was made, or that was skipped."""

from dataclasses import dataclass
from pathlib import Path

from sclip_lightning.errors import RunError
from sclip_lightning.records.files import record_files
from sclip_lightning.records.lines import pack, unpack

__all__ = ["MapRecord", "recorded"]

#: Number of the lines' format.
FORMAT = 1


@dataclass(frozen=True)
class MapRecord:
    """An image that has a segment map, or none because it was skipped.

    Attributes:
        path: Its file.
        id: Stem of the file, and of the map's.
        segments: Number of segments in the map.
        covered: Fraction of the pixels that lie in one.
        stamp: Size and time of the file.
        skipped: Why there is no map; None if there is one.
    """

    path: str
    id: str
    segments: int = 0
    covered: float = 0.0
    stamp: str = ""
    skipped: str | None = None

    def to_line(self) -> bytes:
        """The record as a line of text."""
        return pack({"format": FORMAT, **vars(self)})


def recorded(folder: Path) -> dict[str, MapRecord]:
    """The last record of every image, by the path of its file; a torn line is none.

    Raises:
        RunError: A file cannot be read, or is none that this version wrote.
    """
    found: dict[str, MapRecord] = {}
    for _, path in record_files(folder):
        try:
            with path.open("rb") as file:
                for line in file:
                    content = unpack(line, FORMAT)
                    if content is not None:
                        del content["format"]
                        record = MapRecord(**content)
                        found[record.path] = record
        except (OSError, ValueError, TypeError) as error:
            msg = (
                f"The records in {path} cannot be read ({error}). Make the file readable, choose another --output_dir, "
                "or start afresh with --overwrite."
            )
            raise RunError(msg) from error
    return found
