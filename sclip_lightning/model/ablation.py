"""Which parts of a configuration an ablation switches on and off, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import method_of_parts
from sclip_lightning.model.options import SegmentorOptions, parts_of

__all__ = ["Row", "ablation_rows"]

#: Options that hold parts besides the decoder, in the order in which these are added up.
_OPTIONS = ("prior", "upsampler", "refiners")
#: CLIP's own last block, with the residual connections that it has.
_VANILLA = {"decoder.attention": "vanilla", "decoder.residual": None}


@dataclass(frozen=True)
class Row:
    """One row of an ablation.

    Attributes:
        name: What is switched on.
        folder: The same as the name of a folder.
        changes: What differs from the configuration, by option; ``decoder.rcs`` is an option of the decoder.
    """

    name: str
    folder: str
    changes: Mapping[str, Any]

    def apply(self, options: SegmentorOptions) -> SegmentorOptions:
        """The options of this row."""
        own = {option: value for option, value in self.changes.items() if "." not in option}
        decoder = {option.partition(".")[2]: value for option, value in self.changes.items() if "." in option}
        return replace(options, decoder=replace(options.decoder, **decoder), **own)  # type: ignore[type-var]


def ablation_rows(options: SegmentorOptions, more: bool = False) -> list[Row]:
    """The rows for a configuration: vanilla attention, the baseline, each part alone, then one more at a time.

    Args:
        options: The configuration; what it leaves switched off has no row.
        more: Others follow, so that there need be no part.

    Returns:
        The baseline, without any part, is called ``baseline``; the last row is the configuration as it stands.

    Raises:
        ConfigError: No part is switched on.
    """
    parts = _parts(options)
    if not parts and not more:
        msg = (
            "There is nothing to ablate: the configuration has the decoder's parts (--model.decoder.rcs, "
            "--model.decoder.sfr), --model.prior, --model.upsampler and --model.refiners all switched off. Name one "
            "that has some, such as --config phase1.yaml, or others to show beside it with --beside."
        )
        raise ConfigError(msg)
    everything_off = {key: value for off in parts.values() for key, value in off.items()}
    rows = [Row("baseline", "baseline", everything_off)]
    if getattr(options.decoder, "attention", "vanilla") != "vanilla":
        rows.insert(0, Row("vanilla attention", "vanilla", everything_off | _VANILLA))
    kept: list[tuple[str, ...]] = [(part,) for part in parts]
    kept += [names for names in accumulate(kept) if len(names) > 1]
    for names in kept:
        changes = {key: value for part, off in parts.items() if part not in names for key, value in off.items()}
        rows.append(Row(" + ".join(("", *names)).strip(), "-".join(names).replace(", ", "-").lower(), changes))
    return rows


def _parts(options: SegmentorOptions) -> dict[str, dict[str, Any]]:
    """What switches each part off, by the part's title."""
    inner = parts_of(options.decoder)
    parts: dict[str, dict[str, Any]] = {}
    if inner:
        title = method_of_parts({type(part).__name__ for part in inner.values()}) or ", ".join(inner).upper()
        parts[title] = {f"decoder.{name}": False for name in inner}
    for option in _OPTIONS:
        value = getattr(options, option)
        if value:
            several = value if isinstance(value, list) else [value]
            parts[", ".join(type(part).__name__ for part in several)] = {option: None}
    return parts
