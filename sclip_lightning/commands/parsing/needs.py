"""What a command would need that is not there: images, segment maps, weights. Nothing is fetched, no network loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from huggingface_hub import is_offline_mode
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.configs import expand_method, resolve_arguments, section_names
from sclip_lightning.commands.parsing.imports import GuardedParser, allow_imports
from sclip_lightning.commands.parsing.parts import DEFAULTS
from sclip_lightning.errors import SclipError
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.towers.fetching import clip_source, features_source

__all__ = ["Needs", "needs_of"]

_DATA_PAGE = "docs/datasets.md says where each benchmark's files come from; sclip check-data looks at them"
_MAPS_PAGE = (
    "docs/guide.md (Segment maps) says where the authors' are, sclip make-regions makes others, which give other scores"
)
#: Options whose values decide what is needed, by the first word of their names.
_MODEL, _DATA = ("--config", "-c", "--model"), ("--config", "-c", "--data")


@dataclass
class Needs:
    """What ``sclip test`` with some arguments needs.

    Attributes:
        images: Number of images that would be segmented; 0 where they were not found.
        missing: In sentences, what is not there and how it is got.
        fetched: In sentences, what would be fetched first.
    """

    images: int = 0
    missing: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


def needs_of(arguments: Sequence[str]) -> Needs:
    """What is missing for a command, as far as that can be told without a network and without reading an image.

    Args:
        arguments: Those of ``sclip test``.
    """
    arguments = resolve_arguments(expand_method(allow_imports(arguments)))
    needs = Needs()
    try:
        options = _model_options(tuple(_only(arguments, _MODEL)))
    except SclipError as error:
        needs.missing.append(str(error))
        return needs
    _look_for_weights(options, needs)
    _look_for_data(_only(arguments, _DATA), options, needs)
    return needs


def _look_for_weights(options: SegmentorOptions, needs: Needs) -> None:
    wanted = [(f"CLIP {options.architecture}, {options.weights}", clip_source, (options.architecture, options.weights))]
    for part in options.parts:
        network, weights = getattr(part, "network", None), getattr(part, "weights", None)
        if network is not None:
            wanted.append((f"{network} for {type(part).__name__}", features_source, (network, weights)))
    for what, source_of, (architecture, weights) in wanted:
        try:
            source = source_of(architecture, weights)
        except SclipError as error:
            needs.missing.append(str(error))
            continue
        if source is None:
            continue
        option = "--model.weights FILE" if source_of is clip_source else "the weights option of its part"
        by_hand = f"without a network copy the file from {source} to this machine and name it with {option}"
        if is_offline_mode():
            needs.missing.append(f"{what}: not in the cache, and HF_HUB_OFFLINE is set; unset it, or {by_hand}.")
        else:
            needs.fetched.append(f"{what}: from {source}; {by_hand}.")


def _look_for_data(arguments: Sequence[str], options: SegmentorOptions, needs: Needs) -> None:
    parser = _data_parser(tuple(section_names(arguments)))
    try:
        data: SegmentationData = parser.instantiate_classes(parser.parse_args(list(arguments))).data
    except SclipError as error:
        needs.missing.append(str(error))
        return
    maps = None
    try:
        maps = data.maps_for(options.region_readers)
    except SclipError as error:
        needs.missing.append(f"{error} {_MAPS_PAGE}.")
    try:
        data.find()
        names = [files.map_names for files in data.listing().samples()][: data.num_samples]
    except SclipError as error:
        needs.missing.append(f"{error} {_DATA_PAGE}.")
        return
    needs.images = len(names)
    lacking = [one[0] for one in names if maps is not None and maps.path_of(one) is None]
    if lacking and maps is not None:
        needs.missing.append(
            f"{maps.folder} has no segment map for {len(lacking)} of {len(names)} images of {data.benchmark.name}, "
            f"{lacking[0]} for one. {_MAPS_PAGE}."
        )


@cache
def _model_options(arguments: tuple[str, ...]) -> SegmentorOptions:
    """The model that arguments describe; the same for every benchmark of a row of figures."""
    parser = _parser(section_names(arguments), "model")
    parser.add_class_arguments(SegmentorOptions, "model")
    parser.set_defaults(DEFAULTS)
    options: SegmentorOptions = parser.instantiate_classes(parser.parse_args(list(arguments))).model
    return options


@cache
def _data_parser(sections: tuple[str, ...]) -> GuardedParser:
    """One for all rows whose configurations have these sections: to make it takes longer than to use it."""
    parser = _parser(sections, "data")
    parser.add_subclass_arguments(SegmentationData, "data", required=True)
    return parser


def _parser(sections: Sequence[str], section: str) -> GuardedParser:
    """A parser that passes over whatever configurations say of other sections."""
    parser = GuardedParser(prog="sclip test")
    parser.add_argument("-c", "--config", action=ActionConfigFile)
    for name in sections:
        if name not in (section, "config"):
            parser.add_argument(f"--{name}", type=Any)
    return parser


def _only(arguments: Sequence[str], sections: Sequence[str]) -> list[str]:
    """The options of some sections with their values, as they stand."""
    kept: list[str] = []
    taking = False
    for argument in arguments:
        if argument.startswith("-"):
            option = argument.partition("=")[0].removesuffix("+")
            taking = option in sections or any(option.startswith(f"{section}.") for section in sections)
        if taking:
            kept.append(argument)
    return kept
