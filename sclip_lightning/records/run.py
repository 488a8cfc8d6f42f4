"""What a run is: its protocol, its images and the sessions it took; ``run.json`` in its folder.

Imports neither torch nor Lightning, so that reading runs is instant.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sclip_lightning.errors import RunError
from sclip_lightning.files import write_text
from sclip_lightning.records.artefacts import CONFIG, RUN

__all__ = ["Run", "Session", "differences"]

#: Number of the file's format; a file with another one is not read.
FORMAT = 1


@dataclass(frozen=True)
class Session:
    """One start of a run.

    Attributes:
        started: When, as ISO 8601.
        devices: How many of which kind.
        environment: Versions and devices.
    """

    started: str
    devices: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Run:
    """An evaluation, from before its first image on.

    Attributes:
        benchmark: Name of the benchmark.
        classes: Names of its classes.
        boundaries: Names of the boundary scores.
        protocol: What the scores depend on, one entry per choice, images aside.
        ids: Its images, in the order of the data set.
        split_size: Number of images in the whole split.
        notes: What a reader must know before quoting a score.
        sessions: Every start so far.
    """

    benchmark: str
    classes: list[str]
    boundaries: list[str]
    protocol: dict[str, Any]
    ids: list[str]
    split_size: int
    notes: list[str] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> "Run | None":
        """Read ``run.json``; None if there is none.

        Raises:
            RunError: It cannot be read.
        """
        path = folder / RUN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("another version of sclip_lightning wrote it")
            sessions = [Session(**session) for session in content.pop("sessions")]
            return cls(**content, sessions=sessions)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            msg = (
                f"{path} cannot be read as the description of a run ({error}). Evaluate under another --name, or start "
                "afresh with --overwrite."
            )
            raise RunError(msg) from error

    def save(self, folder: Path) -> None:
        """Write ``run.json``."""
        write_text(folder / RUN, json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n")

    def continues(self, earlier: "Run | None", folder: Path) -> "Run":
        """This run as the continuation of what its folder holds.

        More images than before may be asked for (``--data.num_samples``), not fewer. Devices, batch sizes and versions
        may differ, since the protocol does not name them.

        Args:
            earlier: The run as it was, if any.
            folder: The run's folder, for the error message.

        Returns:
            This run, with its sessions after the earlier ones.

        Raises:
            RunError: The two differ in more than that; the message names everything that does.
        """
        if earlier is None:
            return self
        before, now = earlier._identity(), self._identity()
        differing = differences(before, now)
        lost = len(set(earlier.ids) - set(self.ids))
        if lost:
            differing.append(f"images {_span(earlier.ids)}, now {_span(self.ids)} ({lost} of the earlier ones missing)")
        if differing:
            msg = (
                f"{folder} holds a run under another protocol, which cannot be continued with these settings: "
                f"{'; '.join(differing)}. Give the settings it was started with (they are in its {CONFIG}), another "
                "--name for a run of its own, or --overwrite to delete it and start afresh."
            )
            raise RunError(msg)
        return replace(self, sessions=[*earlier.sessions, *self.sessions])

    def mixed(self) -> str | None:
        """A note for the reader where sessions ran in environments that differ; None if they did not."""
        environments = [session.environment for session in self.sessions]
        names = dict.fromkeys(name for environment in environments for name in environment)
        differing = {name: dict.fromkeys(environment.get(name, "-") for environment in environments) for name in names}
        entries = [f"{name} {' / '.join(values)}" for name, values in differing.items() if len(values) > 1]
        if not entries:
            return None
        return (
            f"The {len(self.sessions)} sessions of this run differ in {', '.join(entries)}: last digits may depend on "
            "which image ran where."
        )

    def _identity(self) -> dict[str, Any]:
        entries = {"benchmark": self.benchmark, "classes": self.classes, "boundary scores": self.boundaries}
        return entries | json.loads(json.dumps(self.protocol))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions, an entry each in words."""
    return [
        f"{name} {_show(before.get(name))}, now {_show(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _show(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _span(ids: Sequence[str]) -> str:
    return f"{len(ids)} ({ids[0]} to {ids[-1]})" if ids else "none"
