"""What says what a folder of results was made with, and how far the work has come."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sclip_lightning import __version__
from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import write_text
from sclip_lightning.records.artefacts import CONFIG, RECORDS
from sclip_lightning.records.run import Session, differences
from sclip_lightning.records.run_folder import check_writable

__all__ = ["COMPLETE", "UNFINISHED", "Kind", "Manifest", "open_folder"]

#: Number of the file's format; a file with another one, or none, is not gone on with.
FORMAT = 1
#: The states: the second once every image is done or skipped, and all that was asked for is written.
UNFINISHED, COMPLETE = "unfinished", "complete"


@dataclass(frozen=True)
class Kind:
    """What tells the folders of one command from those of another.

    Attributes:
        command: As it is typed.
        results: What it makes, in words, as "predictions".
        work: What it does, likewise, as "predicting".
        bar: Likewise, beside the bar that shows progress.
        written: Patterns of all that it writes; the manifest comes first, which says that the rest is its own.
        settings: The file that has its settings in full.
        counts: Names of what a manifest counts besides images.
    """

    command: str
    results: str
    work: str
    bar: str
    written: Sequence[str]
    settings: str
    counts: Sequence[str] = ()

    @property
    def manifest(self) -> str:
        """Name of the manifest's file."""
        return self.written[0]


@dataclass(frozen=True)
class Manifest:
    """What a folder of results holds.

    Attributes:
        kind: Whose folder it is.
        made_with: What results depend on, one entry a choice, images aside.
        state: ``unfinished`` or ``complete``.
        images: Number of images asked for.
        done: Number of those that have results, when this was written.
        counts: What else is counted.
        skipped: What was the matter with the others, of a complete one.
        sessions: Every start that had images left to do.
    """

    kind: Kind
    made_with: Mapping[str, Any]
    state: str = UNFINISHED
    images: int = 0
    done: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    sessions: Sequence[Session] = ()

    @classmethod
    def load(cls, folder: Path, kind: Kind) -> "Manifest | None":
        """Read the file; None if there is none.

        Raises:
            RunError: It cannot be read, or another version wrote it.
        """
        path = folder / kind.manifest
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format", None) != FORMAT:
                raise ValueError("another version of sclip_lightning wrote it")
            content.pop("sclip_lightning", None)  # which version does not matter
            own = {name: content.pop(name) for name in ("state", "images", "done", "skipped")}
            counts = {name: content.pop(name) for name in kind.counts}
            sessions = [Session(**session) for session in content.pop("sessions")]
            return cls(kind, content, **own, counts=counts, sessions=sessions)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            msg = (
                f"{path} cannot be read as what the {kind.results} beside it were made with ({error}). Choose another "
                "--output_dir, or start afresh with --overwrite."
            )
            raise RunError(msg) from error

    def save(self, folder: Path) -> None:
        """Write the file."""
        progress = {"state": self.state, "images": self.images, "done": self.done, **self.counts}
        rest = {"skipped": list(self.skipped), "sessions": [asdict(session) for session in self.sessions]}
        content = {"format": FORMAT, "sclip_lightning": __version__, **progress, **self.made_with, **rest}
        write_text(folder / self.kind.manifest, f"{json.dumps(content, indent=2, ensure_ascii=False)}\n")

    def check_continues(self, earlier: "Manifest", folder: Path) -> None:
        """Refuse to go on where results would come about in another way.

        Raises:
            RunError: They would; the message says in what they differ.
        """
        differing = differences(earlier.made_with, json.loads(json.dumps(self.made_with)))
        if differing:
            kind = self.kind
            msg = (
                f"{folder} holds {kind.results} that were made in another way: {'; '.join(differing)}. Give the "
                f"settings that they were made with (they are in its {kind.settings}) to go on, another --output_dir "
                "to keep them, or --overwrite to delete them and start afresh."
            )
            raise RunError(msg)


def open_folder(folder: Path, kind: Kind) -> None:
    """Make the folder of results where there is none; nothing is deleted yet.

    Raises:
        ConfigError: Nothing can be written there, or it holds files of another kind under names that are used here.
    """
    if not (folder / kind.manifest).is_file():
        patterns = [pattern for pattern in kind.written[1:] if pattern not in (CONFIG, RECORDS)]
        foreign = sorted(path.name for pattern in patterns for path in folder.glob(pattern))
        if foreign:
            more = f" and {len(foreign) - 3} more" if foreign[3:] else ""
            msg = (
                f"{folder} holds {', '.join(foreign[:3])}{more}, but no {kind.manifest} that says that {kind.command} "
                "wrote that: it would be overwritten. Choose another --output_dir, or move it elsewhere."
            )
            raise ConfigError(msg)
    check_writable(folder)
