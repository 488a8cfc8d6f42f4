"""A folder of segment maps as CorrCLIP's authors publish them, with ``masks.json`` beside: what they were made with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning import __version__
from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import replacing, write_text
from sclip_lightning.records.artefacts import RECORDS
from sclip_lightning.records.run import Session, differences
from sclip_lightning.records.run_folder import check_writable
from sclip_lightning.regions.maker import LoadedMaker

__all__ = ["COMPLETE", "MAPS", "MASKS", "UNFINISHED", "MapSettings", "made_with", "open_folder", "write_map"]

#: Says what maps were made with.
MASKS = "masks.json"
#: All that is written into the folder, what says that it is ours first.
MAPS = (MASKS, "*.npz", RECORDS)
#: Number of the format of ``masks.json``; a folder with another one is not gone on with.
FORMAT = 1
#: The states: the second once every image has a map or is skipped.
UNFINISHED, COMPLETE = "unfinished", "complete"


@dataclass(frozen=True)
class MapSettings:
    """``masks.json``.

    Attributes:
        made_with: What maps depend on besides the image: generator, model, weights, numbers, how images are turned.
        state: ``unfinished`` or ``complete``.
        images: Number of images asked for.
        done: Number of those that have a map, when this was written.
        empty: Number of those whose map has no segment.
        skipped: What was the matter with the others, of a complete folder.
        sessions: Every start that had images left to do.
    """

    made_with: Mapping[str, Any]
    state: str = UNFINISHED
    images: int = 0
    done: int = 0
    empty: int = 0
    skipped: Sequence[str] = ()
    sessions: Sequence[Session] = field(default_factory=tuple)

    @classmethod
    def load(cls, folder: Path) -> "MapSettings | None":
        """Read the file; None if there is none.

        Raises:
            RunError: It cannot be read, or another version wrote it.
        """
        path = folder / MASKS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("its format is another")
            del content["sclip_lightning"]
            own = {name: content.pop(name) for name in ("state", "images", "done", "empty", "skipped")}
            sessions = [Session(**session) for session in content.pop("sessions")]
            return cls(content, **own, sessions=sessions)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            msg = (
                f"{path} cannot be read as what the segment maps beside it were made with ({error}). Choose another "
                "--output_dir, or start afresh with --overwrite."
            )
            raise RunError(msg) from error

    def save(self, folder: Path) -> None:
        """Write the file."""
        progress = {name: getattr(self, name) for name in ("state", "images", "done", "empty")}
        rest = {"skipped": list(self.skipped), "sessions": [asdict(session) for session in self.sessions]}
        content = {"format": FORMAT, "sclip_lightning": __version__, **self.made_with, **progress, **rest}
        write_text(folder / MASKS, f"{json.dumps(content, indent=2, ensure_ascii=False)}\n")

    def check_continues(self, earlier: "MapSettings", folder: Path) -> None:
        """Refuse to go on where maps would come about in another way.

        Raises:
            RunError: They would; the message says in what they differ.
        """
        differing = differences(earlier.made_with, json.loads(json.dumps(self.made_with)))
        if differing:
            msg = (
                f"{folder} holds segment maps that were made in another way: {'; '.join(differing)}. Give the settings "
                f"that they were made with (they are in its {MASKS}) to go on, another --output_dir to keep them, or "
                "--overwrite to delete them and start afresh."
            )
            raise RunError(msg)


def made_with(maker: LoadedMaker, turned: bool) -> dict[str, Any]:
    """What maps depend on besides the image, for ``masks.json``.

    Args:
        maker: Who makes them.
        turned: Whether images are turned as their EXIF orientation says, which those of benchmarks are not.
    """
    return {
        "generator": maker.generator,
        "model": maker.model,
        "weights_sha256": maker.weights_sha256,
        "settings": dict(maker.settings),
        "images_are_turned": turned,
    }


def open_folder(folder: Path) -> None:
    """Make the folder of segment maps where there is none; nothing is deleted yet.

    Raises:
        ConfigError: Nothing can be written there, or it holds maps, and nothing says that this command made them.
    """
    if not (folder / MASKS).is_file() and (found := sorted(folder.glob("*.npz"))):
        msg = (
            f"{folder} holds {found[0].name}{f' and {len(found) - 1} more such files' if found[1:] else ''}, but no "
            f"{MASKS} that says that sclip make-regions wrote that: it would be overwritten. Choose another "
            "--output_dir, or move it elsewhere."
        )
        raise ConfigError(msg)
    check_writable(folder)


def write_map(path: Path, segments: npt.NDArray[np.int32]) -> None:
    """Write a segment map as published: compressed, one array ``instance_mask``, [H, W] int32, 0 for no segment."""
    with replacing(path) as temporary:  # whose name ends as that of the path, so that numpy adds no suffix
        np.savez_compressed(temporary, instance_mask=segments)
