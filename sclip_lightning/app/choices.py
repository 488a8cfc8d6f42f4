"""What a user of the page can choose: methods, and parts that are switched on and off."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sclip_lightning.decoding import LastBlock, ResidualAttention, SemanticFeedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.options import SegmentorOptions, parts_of
from sclip_lightning.refine import PAMR, DenseCRF
from sclip_lightning.windows import Part
from sclip_lightning.windows.steps import PLACES

__all__ = ["STARTED", "Choices"]

#: The method that the options of the command line make.
STARTED = "as started"

#: Parts that have a longer name than that of their class.
_TITLES = {"ResidualAttention": "Residual attention (RCS)", "SemanticFeedback": "Semantic feedback (SFR)"}


@dataclass(frozen=True)
class Choices:
    """Methods, and the parts that each can have or not.

    Attributes:
        methods: Options by the method's name; the first are those that the page starts with.
    """

    methods: Mapping[str, SegmentorOptions]

    @property
    def parts(self) -> dict[str, Part]:
        """Parts by title: those of the options that the page starts with, with their numbers, and the usual ones."""
        started = next(iter(self.methods.values()))
        own = [*parts_of(started.decoder).values(), *(started.refiners or [])]
        usual = [ResidualAttention(), SemanticFeedback(), *([started.upsampler] if started.upsampler else [])]
        found: dict[str, Part] = {}
        for part in [*usual, PAMR(), DenseCRF(), *own]:  # own numbers take the place of defaults
            found[_title(part)] = part
        return found

    def parts_on(self, method: str) -> list[str]:
        """Titles of the parts that a method has by itself."""
        options = self.methods[method]
        on = {_title(part) for part in parts_of(options.decoder).values()}
        on |= {_title(part) for part in (options.upsampler, *(options.refiners or [])) if part is not None}
        return [title for title in self.parts if title in on]

    def options(self, method: str, parts: Iterable[str]) -> SegmentorOptions:
        """The options of a method with these parts and no others of those that can be switched.

        Raises:
            ConfigError: There is no such method or part, the method has no place for it, or the parts do not go
                together.
        """
        offered, chosen = self.parts, set(parts)
        if method not in self.methods or chosen - offered.keys():
            unknown = [name for name in (method, *sorted(chosen)) if name not in {*self.methods, *offered}]
            msg = f"There is no {' and no '.join(unknown)} to choose. Reload the page."
            raise ConfigError(msg)
        options = self.methods[method]
        on = [part for title, part in offered.items() if title in chosen]
        rest = [step for step in options.refiners or [] if _title(step) not in offered]
        refiners: list[Any] = [*rest, *(part for part in on if part.option == "--model.refiners")]
        inside: dict[str, Any] = {
            part.option.rpartition(".")[2]: part for part in on if part.option.startswith("--model.decoder.")
        }
        upsampler: Any = next((part for part in on if part.option == "--model.upsampler"), None)
        decoder = options.decoder
        if isinstance(decoder, LastBlock):
            decoder = replace(decoder, rcs=inside.get("rcs", False), sfr=inside.get("sfr", False))
        elif inside:
            msg = f"{method} has no place for {' and '.join(map(_title, inside.values()))}. Switch that off."
            raise ConfigError(msg)
        refiners.sort(key=lambda step: PLACES.index(step.works_on))
        return replace(options, decoder=decoder, upsampler=upsampler, refiners=refiners)


def _title(part: Part) -> str:
    return _TITLES.get(type(part).__name__, type(part).__name__)
