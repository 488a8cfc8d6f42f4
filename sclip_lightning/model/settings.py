"""From options to settings: what the user gave, else what is published, resolved once and nothing left open."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from sclip_lightning.data.reading.benchmark import LONG_SIDE, Protocol
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import numbers_of, open_numbers_of, protocol_of, stand_in_notes
from sclip_lightning.model.options import SegmentorOptions, parts_of
from sclip_lightning.towers.text import resolve_templates
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Decoder, Part, SheetStep, Step, check_sliding_window

__all__ = ["Settings", "check_options", "resolve"]

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Settings:
    """Everything that labels depend on, images, names and weights aside. No number is left to be filled in.

    Attributes:
        protocol: Short side, window, scale and thresholds.
        decoder: From windows to tokens.
        prior: What the class token adds, or None.
        upsampler: Gives logits a finer grid, or None.
        refiners: The other steps, in order.
        templates: Prompt templates with one ``{}`` each.
        window_batch_size: Most windows in one pass through a network.
        refine_side: Most pixels of the short side of maps that are refined.
        notes: What a reader of a result must know about where the numbers come from.
    """

    protocol: Protocol
    decoder: Decoder
    prior: SheetStep | None
    upsampler: SheetStep | None
    refiners: tuple[Step, ...]
    templates: tuple[str, ...]
    window_batch_size: int
    refine_side: int
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> list[Part]:
        """All parts that are switched on; the decoder first."""
        return [part for part in (self.decoder, self.prior, self.upsampler, *self.refiners) if part is not None]

    @property
    def warnings(self) -> list[str]:
        """What is asked for and has no published meaning: thresholds for logits that are no cosines any more."""
        others = [type(part).__name__ for part in self.parts if isinstance(part, SheetStep) and not part.keeps_cosines]
        values = {name: getattr(self.protocol, name) for name in ("prob_threshold", "area_threshold")}
        given = [f"--model.{name} is {value:g}" for name, value in values.items() if value]
        if not (others and given):
            return []
        return [
            f"{' and '.join(given)}, but the logits of {' and '.join(others)} are no cosines any more, and nobody "
            "published a threshold for them: its authors use none. Set it to 0 for what they do."
        ]


def check_options(options: SegmentorOptions, vocabulary: Vocabulary) -> None:
    """Find what does not go together before any weights are needed.

    Without a background, class 0 is one like the others: nothing must be given to it for want of certainty. Uncertain
    pixels may go to a class that the user names, though.

    Raises:
        ConfigError: A threshold without a background.
    """
    for name in ("prob_threshold", "area_threshold"):
        value = getattr(options, name)
        named = name == "prob_threshold" and options.uncertain_class is not None
        if value and not vocabulary.has_background and not named:
            msg = (
                f"{name} is {value} (--model.{name}), which gives pixels to class 0 as the background, but class 0 is "
                f"{vocabulary.names[0]!r}. Add a background (--background; background=True in Python), "
                f"{'name a class with --model.uncertain_class, ' * (name == 'prob_threshold')}or set {name} to 0."
            )
            raise ConfigError(msg)


def resolve(options: SegmentorOptions, vocabulary: Vocabulary, short_side: int | None = None) -> Settings:
    """Settle every number.

    Args:
        options: What the user gave.
        vocabulary: The classes: for a benchmark's, what its methods' authors chose for it.
        short_side: Pixels that the short side of images is resized to, where the user gave them.

    Raises:
        ConfigError: A window that leaves gaps, an unknown protocol, uncertain pixels for a class that is not there, or
            a number that is neither given nor published.
    """
    benchmark = vocabulary.benchmark
    own = vocabulary.protocol
    protocol = vocabulary.adapt(own or protocol_of(options.protocol, benchmark))
    given = {field.name: getattr(options, field.name, None) for field in fields(Protocol)}
    given |= {"short_side": short_side, "background": options.uncertain_class}
    protocol = replace(protocol, **{name: value for name, value in given.items() if value is not None})
    if short_side is not None:  # then nothing but memory bounds the long side
        protocol = replace(protocol, long_side=LONG_SIDE)
    check_sliding_window(protocol.crop, protocol.stride)
    if options.uncertain_class is not None:
        _check_uncertain(protocol, vocabulary)
    constants = asdict(protocol)

    def fill(part: P, option: str) -> P:
        return _fill(part, f"--model.{option}", benchmark, constants)

    open_parts = [
        type(part).__name__
        for one in options.parts
        for part in (one, *parts_of(one).values())
        if any(getattr(part, name) is None for name in open_numbers_of(type(part).__name__))
    ]
    return Settings(
        protocol=protocol,
        decoder=fill(options.decoder, "decoder"),
        prior=options.prior and fill(options.prior, "prior"),
        upsampler=options.upsampler and fill(options.upsampler, "upsampler"),
        refiners=tuple(fill(step, "refiners") for step in options.refiners or ()),
        templates=resolve_templates(options.templates),
        window_batch_size=options.window_batch_size,
        refine_side=options.refine_side,
        notes=tuple(stand_in_notes(None if own else options.protocol, benchmark, open_parts)),
    )


def _check_uncertain(protocol: Protocol, vocabulary: Vocabulary) -> None:
    count = len(vocabulary.names)
    if protocol.background >= count:
        msg = (
            f"--model.uncertain_class is {protocol.background}, but the {count} classes are 0 to {count - 1}. Give one."
        )
        raise ConfigError(msg)
    if not protocol.prob_threshold:
        msg = (
            f"--model.uncertain_class gives {vocabulary.names[protocol.background]!r} the pixels below a threshold, "
            "but the threshold is 0, so that there are none. Set --model.prob_threshold, or leave it out."
        )
        raise ConfigError(msg)


def _fill(part: P, option: str, benchmark: str | None, constants: Mapping[str, Any]) -> P:
    """Give a part's open numbers what is published for the benchmark, else the protocol's constant of the same name."""
    part, name = part.settled(), type(part).__name__
    published = {**constants, **numbers_of(name, benchmark)}
    changes: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]  # every part is a dataclass
        value = getattr(part, field.name)
        if isinstance(value, Part):
            changes[field.name] = _fill(value, f"{option}.{field.name}", benchmark, constants)
        elif value is None and published.get(field.name) is not None:
            changes[field.name] = published[field.name]
    filled: P = replace(part, **changes) if changes else part  # type: ignore[type-var]
    lacking = [field for field in open_numbers_of(name) if getattr(filled, field) is None]
    if lacking:
        msg = (
            f"{name}: nobody published {' and '.join(lacking)} for {benchmark or 'these classes'}. Give "
            f"{'them' if len(lacking) > 1 else 'it'} to {name} under {option}."
        )
        raise ConfigError(msg)
    return filled
