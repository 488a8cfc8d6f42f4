"""``settings.json`` of a folder of predictions: what labels depend on, and how far the work has come."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import write_text
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.records.artefacts import CONFIG, PREDICTIONS, RECORDS, SETTINGS
from sclip_lightning.records.run import Session, differences
from sclip_lightning.records.run_folder import check_writable
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["COMPLETE", "UNFINISHED", "PredictionSettings", "open_folder", "protocol_of", "recorded_precision"]

#: Number of the file's format; a file with another one, or none, is not gone on with.
FORMAT = 1
#: The states: the second once every image is done or skipped, and all that was asked for is written.
UNFINISHED, COMPLETE = "unfinished", "complete"


@dataclass(frozen=True)
class PredictionSettings:
    """What a folder of predictions holds.

    Attributes:
        protocol: What labels depend on, one entry per choice, images aside.
        state: ``unfinished`` or ``complete``.
        images: Number of images asked for.
        done: Number of those that have results, when this was written.
        skipped: What was the matter with the others, of a complete one.
        sessions: Every start that had images left to do.
    """

    protocol: Mapping[str, Any]
    state: str = UNFINISHED
    images: int = 0
    done: int = 0
    skipped: Sequence[str] = ()
    sessions: Sequence[Session] = field(default_factory=tuple)

    @classmethod
    def load(cls, folder: Path) -> "PredictionSettings | None":
        """Read the file; None if there is none.

        Raises:
            RunError: It cannot be read, or another version wrote it.
        """
        path = folder / SETTINGS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format", None) != FORMAT:
                raise ValueError("another version of sclip_lightning wrote it")
            state, images, done = (content.pop(name) for name in ("state", "images", "done"))
            sessions = [Session(**session) for session in content.pop("sessions")]
            return cls(state=state, images=images, done=done, skipped=content.pop("skipped"), sessions=sessions,
                       protocol=content)  # fmt: skip
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            msg = (
                f"{path} cannot be read as the settings of predictions to go on with ({error}). Choose another "
                "--output_dir, or start afresh with --overwrite."
            )
            raise RunError(msg) from error

    def save(self, folder: Path) -> None:
        """Write the file."""
        about = {"format": FORMAT, "state": self.state, "images": self.images, "done": self.done}
        rest = {"skipped": list(self.skipped), "sessions": [asdict(session) for session in self.sessions]}
        text = json.dumps({**about, **self.protocol, **rest}, indent=2, ensure_ascii=False)
        write_text(folder / SETTINGS, f"{text}\n")

    def check_continues(self, earlier: "PredictionSettings", folder: Path) -> None:
        """Refuse to go on where labels would come about in another way.

        Raises:
            RunError: The protocols differ; the message says in what.
        """
        differing = differences(earlier.protocol, json.loads(json.dumps(self.protocol)))
        if differing:
            msg = (
                f"{folder} holds predictions that were made in another way: {'; '.join(differing)}. Give the settings "
                f"that they were made with (they are in its {CONFIG}) to go on, another --output_dir to keep them, or "
                "--overwrite to delete them and start afresh."
            )
            raise RunError(msg)


def open_folder(output_dir: str) -> Path:
    """The folder of predictions, made where there is none; nothing is deleted yet.

    Raises:
        ConfigError: Nothing can be written there, or it holds files of another kind under names that are used here.
    """
    folder = Path(output_dir).expanduser().absolute()
    if not (folder / SETTINGS).is_file():
        foreign = [name for name in PREDICTIONS if name not in (CONFIG, RECORDS) and (folder / name).exists()]
        if foreign:
            msg = (
                f"{folder} holds {', '.join(sorted(foreign))}, but no {SETTINGS} that says that sclip predict wrote "
                "that: it would be overwritten. Choose another --output_dir, or move it elsewhere."
            )
            raise ConfigError(msg)
    check_writable(folder)
    return folder


def recorded_precision(folder: Path) -> str | None:
    """The precision that the predictions in a folder were made in; None where there are none.

    Raises:
        RunError: See :meth:`PredictionSettings.load`.
    """
    earlier = PredictionSettings.load(folder)
    return None if earlier is None else earlier.protocol.get("precision")


def protocol_of(segmentor: Segmentor, vocabulary: Vocabulary) -> dict[str, Any]:
    """Everything that labels depend on, besides images."""
    numbers, model = segmentor.settings(vocabulary), segmentor.sliding_window(vocabulary)
    return {
        "classes": [list(names) for names in vocabulary.synonyms],
        "class_names": list(vocabulary.names),
        "has_background": vocabulary.has_background,
        "short_side": numbers.protocol.short_side,
        "templates": list(numbers.templates),
        **describe_segmentor(model),
        **({"refine_side": model.refine_side} if model.refines_maps else {}),  # images may be added to a folder
        "architecture": segmentor.clip.architecture,
        "architecture_sha256": segmentor.clip.configuration_sha256[:12],
        "weights": segmentor.clip.weights,
        "weights_sha256": segmentor.clip.fingerprint[:12],
        "precision": segmentor.precision,
    }
