"""Which parts of a configuration an ablation switches on and off, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sclip_lightning.errors import ConfigError

__all__ = ["Row", "ablation_rows"]

#: What is switched off for the baseline, by the name of the part; the order in which parts are added up.
_PARTS: dict[str, dict[str, Any]] = {
    "ResCLIP": {"rcs": False, "sfr": False},
    "LoftUp": {"loftup": False},
    "refiners": {"refiners": None},
}


@dataclass(frozen=True)
class Row:
    """One row of an ablation.

    Attributes:
        name: What is switched on.
        folder: The same as the name of a folder.
        changes: Options that differ from the configuration.
    """

    name: str
    folder: str
    changes: Mapping[str, Any]


def ablation_rows(options: Mapping[str, Any]) -> list[Row]:
    """The rows for a configuration: vanilla attention, the baseline, each part alone, then one more at a time.

    Args:
        options: The options of ``SegmentationModule``; parts that they leave switched off have no row.

    Returns:
        The baseline, without any part, is called ``baseline``; the last row is the configuration as it stands.

    Raises:
        ConfigError: No part is switched on.
    """
    parts = {_title(name, options): off for name, off in _PARTS.items() if any(options[key] for key in off)}
    if not parts:
        msg = (
            "There is nothing to ablate: the configuration has ResCLIP (--model.rcs, --model.sfr), LoftUp "
            "(--model.loftup) and refiners (--model.refiners) all switched off. Name one that has some, such as "
            "--config phase1.yaml."
        )
        raise ConfigError(msg)
    attention = str(options["attention"])
    everything_off = {key: value for off in parts.values() for key, value in off.items()}
    rows = [Row("baseline", "baseline", everything_off)]
    if attention != "vanilla":
        rows.insert(0, Row("vanilla attention", "vanilla", everything_off | {"attention": "vanilla"}))
    kept: list[tuple[str, ...]] = [(part,) for part in parts]
    kept += [names for names in accumulate(kept) if len(names) > 1]
    for names in kept:
        changes = {key: value for part, off in parts.items() if part not in names for key, value in off.items()}
        rows.append(Row(" + ".join(("", *names)).strip(), "-".join(names).lower(), changes))
    return rows


def _title(part: str, options: Mapping[str, Any]) -> str:
    """The name of a part as it is configured: RCS or SFR where it is half of ResCLIP, refiners by their classes."""
    if part == "ResCLIP" and not (options["rcs"] and options["sfr"]):
        return "RCS" if options["rcs"] else "SFR"
    if part == "refiners" and options["refiners"]:
        return ", ".join(type(refiner).__name__ for refiner in options["refiners"])
    return part
