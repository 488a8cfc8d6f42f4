"""The choices that make a segmentor, as the command line names them."""

from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Annotated, Any

from sclip_lightning.decoding import LastBlock
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.refining import REFINE_SIDE
from sclip_lightning.ranges import LOGIT_SCALES, at_least, between, check_numbers
from sclip_lightning.towers.text import resolve_templates
from sclip_lightning.windows import Decoder, Part, SheetStep, Step
from sclip_lightning.windows.steps import check_order

__all__ = ["SegmentorOptions", "parts_of"]


@dataclass(frozen=True)
class SegmentorOptions:
    """Options of a segmentor; null takes what is published for the classes it is used with.

    Attributes:
        architecture: open_clip model name (sclip weights lists them), local-dir:FOLDER with an open_clip_config.json
            or the config.json of a CLIPModel of transformers inside, or demo.
        weights: A tag of open_clip (downloaded once), the path of a checkpoint, or null for random weights.
        templates: Prompt templates: imagenet (80), none, or a list of texts with one {} each.
        protocol: The method whose authors' constants count where none are given: the short side of images, crop,
            stride, logit_scale and thresholds. A part's own numbers do not depend on it.
        decoder: From windows to tokens: LastBlock, with an attention and ResCLIP's two parts.
        prior: What the class token says, added to all patches of its window: ClassTokenShare; null leaves it out.
        upsampler: Gives the logits a finer grid: LoftUp, NAF, AnyUp, ResizedFeatures; null leaves it out.
        refiners: Refiners in the order they are applied, such as PAMR, DenseCRF, Bilateral, RegionVote.
        refine_side: Most pixels of the short side of maps that PAMR, DenseCRF and Bilateral refine; the maps of larger
            images are refined at that size, then brought to the image's. No benchmark has any; 0 is off.
        crop: Side of the sliding window in pixels; 0 takes each image whole, null does as the protocol.
        stride: Distance between windows in pixels; null does as the protocol.
        window_batch_size: Most windows in one pass through the tower; bounds memory.
        compile: Have torch compile CLIP's vision tower at the first image, which takes a minute and needs a C++
            compiler, or triton on a GPU. Last digits change.
        logit_scale: Factor on the cosines; null takes the protocol's.
        prob_threshold: Pixels less certain than this become class 0, or uncertain_class; 0 is off, null takes the
            protocol's.
        uncertain_class: Index of the class that pixels below prob_threshold become (SegEarth-OV, CVPR 2025, arXiv
            2410.01768); null takes the protocol's, which is 0.
        area_threshold: Classes smaller than this share of all foreground are dropped; 0 is off, null takes the
            protocol's.

    Raises:
        ConfigError: A number outside its range, templates without a place for the name, random weights of a part next
            to trained CLIP weights, parts of which one makes the other pointless, something in the place of a part that
            is none or not the right one, a refiner given twice, or refiners in an order that cannot be.
    """

    architecture: str = "ViT-B-16-quickgelu"
    weights: str | None = "openai"
    templates: str | list[str] = "imagenet"
    protocol: str = "sclip"
    decoder: Decoder = field(default_factory=LastBlock)
    prior: SheetStep | None = None
    upsampler: SheetStep | None = None
    refiners: list[Step] | None = None
    refine_side: Annotated[int, at_least(0, whole=True)] = REFINE_SIDE
    crop: Annotated[int, at_least(0, whole=True)] | None = None
    stride: Annotated[int, at_least(1, whole=True)] | None = None
    window_batch_size: Annotated[int, at_least(1, whole=True)] = 32
    compile: bool = False
    logit_scale: Annotated[float, LOGIT_SCALES] | None = None
    prob_threshold: Annotated[float, between(0, 1)] | None = None
    uncertain_class: Annotated[int, at_least(0, whole=True)] | None = None
    area_threshold: Annotated[float, between(0, 1)] | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        check_numbers(self, prefix="--model.")
        resolve_templates(self.templates)
        self._check_places()
        for part in self.parts:
            if getattr(part, "weights", "") is None and self.weights is not None:
                msg = (
                    f"The weights of {type(part).__name__} are null, which means random: next to trained CLIP weights "
                    "the result would look real and be worthless. Name its checkpoint, or set --model.weights to null "
                    "as well."
                )
                raise ConfigError(msg)
        if getattr(self.upsampler, "discards_logits", False):
            self._check_that_nothing_is_lost()

    @classmethod
    def of(cls, **options: Any) -> "SegmentorOptions":
        """The same from names that a user wrote.

        Raises:
            ConfigError: An unknown one; or as the class itself.
        """
        known = [option.name for option in fields(cls)]
        unknown = sorted(options.keys() - set(known))
        if unknown:
            near = get_close_matches(unknown[0], known, cutoff=0.5) or known
            msg = f"There is no option {unknown[0]!r}. Did you mean {' or '.join(near)}?"
            raise ConfigError(msg)
        return cls(**options)

    @property
    def parts(self) -> list[Part]:
        """All parts that are switched on; the decoder first."""
        return [part for part in (self.decoder, self.prior, self.upsampler, *(self.refiners or [])) if part is not None]

    @property
    def region_readers(self) -> list[str]:
        """Names of the parts that need a segment map with each image."""
        parts = [*self.parts, *(inner for part in self.parts for inner in parts_of(part).values())]
        return list(dict.fromkeys(type(part).__name__ for part in parts if part.reads_regions))

    def _check_kinds(self) -> None:
        """Refuse what is no part: from Python, nothing else would before the first image."""
        refiners: Any = self.refiners or []
        places: list[tuple[str, Any, type]] = [("decoder", self.decoder, Decoder)]
        optional = [(name, getattr(self, name), Step) for name in ("prior", "upsampler")]
        places += [place for place in optional if place[1] is not None]
        places += [("refiners", step, Step) for step in (refiners if isinstance(refiners, list) else [refiners])]
        for name, value, kind in places:
            if not isinstance(value, kind):
                remedy = f"Give the part itself, {value}()." if isinstance(value, str) else "Give a part."
                msg = f"{name} (--model.{name}) has {value!r}, which is no {kind.__name__}. {remedy}"
                raise ConfigError(msg)
        if not isinstance(refiners, list):
            msg = f"refiners (--model.refiners) is {refiners!r} by itself. Give a list."
            raise ConfigError(msg)

    def _check_places(self) -> None:
        """Refuse refiners in an order that cannot be or given twice, and steps in a place that is not theirs."""
        check_order(self.refiners or [])
        for number, refiner in enumerate(self.refiners or []):
            if refiner in (self.refiners or [])[:number]:
                msg = (
                    f"{type(refiner).__name__} stands twice in --model.refiners with the same numbers, and would run "
                    "twice. Leave one out: --model.refiners+= adds to what a configuration has."
                )
                raise ConfigError(msg)
        placed: list[tuple[str, Step | None]] = [("--model.prior", self.prior), ("--model.upsampler", self.upsampler)]
        placed += [("--model.refiners", step) for step in self.refiners or []]
        for place, step in placed:
            if step is not None and step.option != place:
                raise ConfigError(f"{type(step).__name__} cannot stand in {place}: it belongs in {step.option}.")

    def _check_that_nothing_is_lost(self) -> None:
        """Refuse parts that change logits before an upsampler that makes its own of the last block's values."""
        lost = {f"--model.decoder.{name} false": part for name, part in parts_of(self.decoder).items()}
        if self.prior is not None:
            lost["--model.prior null"] = self.prior
        early = [step for step in self.refiners or [] if step.works_on == "tokens"]
        lost |= {f"--model.refiners without {type(step).__name__}": step for step in early}
        if lost:
            names = " and ".join(type(part).__name__ for part in lost.values())
            msg = (
                f"{type(self.upsampler).__name__} in this mode compares features of its own with the text: {names} "
                f"could change nothing. Switch them off ({', '.join(lost)}), or set --model.upsampler.mode to affinity."
            )
            raise ConfigError(msg)
        # What stands there by default must not be refused, nor what reads the same values.
        harmless = [_bare(LastBlock()), _bare(LastBlock("maskclip"))]
        if _bare(self.decoder) not in harmless:
            what = type(self.decoder).__name__
            if isinstance(self.decoder, LastBlock):
                named = self.decoder.attention
                what = f"the attention {named if isinstance(named, str) else type(named).__name__}"
                what += "" if self.decoder.residual is None else f" with residual {str(self.decoder.residual).lower()}"
            msg = (
                f"{type(self.upsampler).__name__} in this mode reads the values of the last block alone: {what} could "
                "change nothing. Leave --model.decoder at its default, or set --model.upsampler.mode to affinity."
            )
            raise ConfigError(msg)


def _bare(decoder: Decoder) -> Decoder:
    """A decoder without the parts that can be switched off."""
    off: dict[str, Any] = dict.fromkeys(parts_of(decoder), None)
    return replace(decoder.settled(), **off)  # type: ignore[type-var]  # every part is a dataclass


def parts_of(part: Part) -> dict[str, Part]:
    """The parts that a part is made of and that can be switched off, by the field that holds them."""
    settled: Any = part.settled()
    held = {option.name: getattr(settled, option.name) for option in fields(settled) if option.default in (None, False)}
    return {name: value for name, value in held.items() if isinstance(value, Part)}
