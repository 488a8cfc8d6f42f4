"""``sclip predict``: segment one's own images into one's own classes."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from sclip_lightning.commands.failures import explain
from sclip_lightning.commands.many_images import (
    add_work_options,
    allow_large_images,
    launch_for,
    name_skipped,
    refuse_skipped,
)
from sclip_lightning.commands.parsing.configs import METHOD_HELP, expand_method, resolve_arguments
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.commands.parsing.kept import keep, take
from sclip_lightning.commands.parsing.model_only import ModelParser
from sclip_lightning.commands.parsing.parts import DEFAULTS
from sclip_lightning.commands.parsing.replaced import check_replaced
from sclip_lightning.data.reading.benchmark import read_class_file
from sclip_lightning.data.reading.heif import INSTALL_HEIF
from sclip_lightning.data.reading.images import ImageFile, find_images, unread_images
from sclip_lightning.data.reading.layout import expand
from sclip_lightning.data.reading.regions import SegmentMaps, unread_maps, without_maps
from sclip_lightning.data.reading.words import read_words
from sclip_lightning.errors import DataError
from sclip_lightning.exports import TOLERANCE
from sclip_lightning.files import DEMO
from sclip_lightning.jobs.processes import Alone, Team
from sclip_lightning.jobs.session import carried_out
from sclip_lightning.model.devices import Precision, PrecisionChoice, resolve_precision
from sclip_lightning.model.likeness import warning_of
from sclip_lightning.model.negatives import passed_over
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import check_options, resolve
from sclip_lightning.predicting.fitting import check_largest
from sclip_lightning.predicting.job import ChosenClasses, Export, PredictionJob
from sclip_lightning.ranges import at_least, check_number
from sclip_lightning.records.artefacts import BACKGROUND
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["find_vocabulary", "run_predict"]


_DESCRIPTION = """\
Segment your own images into your own classes. Writes, per image, a label map (PNG of class indices), the image under
its labels with a legend, and the share of every class.

Without --background every pixel goes to the best of the classes, however badly that fits. With it, a class 0 takes
whatever looks more like one of 26 other things (sky, wall, tree, ...: the list published with SCLIP), and whatever
gets a probability below --model.prob_threshold (0.1 then, as published for COCO-Object).
"""


def run_predict(arguments: Sequence[str]) -> None:
    """Run ``sclip predict`` with the given arguments."""
    arguments = resolve_arguments(expand_method(allow_imports(arguments)))
    parser = take("predict", _build_parser)
    options = parser.parse_args(arguments)
    keep("predict", parser)
    check_replaced(arguments)
    chosen: SegmentorOptions = parser.instantiate_classes(options).model
    if options.refine_side is not None:
        chosen = replace(chosen, refine_side=options.refine_side)
    # Whatever can be found wrong before the weights are loaded.
    allow_large_images(options)
    check_number(options.tolerance, at_least(0), "--tolerance")
    files = find_images(options.images, options.recursive)
    vocabulary = find_vocabulary(options.classes, _background_of(options.background))
    check_options(chosen, vocabulary)
    settings = resolve(chosen, vocabulary, options.short_side)
    maps = _find_maps(options, chosen.region_readers, files)
    launch = launch_for(options, options.device)
    if isinstance(launch, Alone):  # else each process looks at its own device, once it has one
        resolve_precision(options.precision, launch.device)
    if launch.is_first:
        _name_unread(options, maps)
    classes = ChosenClasses(vocabulary)
    job = PredictionJob(
        files=files,
        folder=Path(options.output_dir).expanduser().absolute(),
        on_error=options.on_error,
        classes=classes,
        config=partial(parser.dump, options, skip_none=False),
        exports=list(dict.fromkeys(options.export or ())),
        tolerance=options.tolerance,
        maps=maps,
        # Of several processes, each looks at its own device when it comes to an image.
        check_fit=partial(check_largest, vocabulary=vocabulary, options=chosen, settings=settings, device=launch.device)
        if isinstance(launch, Alone)
        else None,
    )

    def load(team: Team) -> Segmentor:
        options.precision = team.on_first(lambda: _settle_precision(options.precision, team.device, job))
        segmentor = Segmentor(
            chosen, short_side=options.short_side, device=team.device, precision=options.precision, embed=team.on_first
        )
        if options.background == "auto":
            classes.words = segmentor.background_words(vocabulary)
            classes.vocabulary = find_vocabulary(options.classes, classes.words)
        segmentor.sliding_window(classes.vocabulary)  # names are embedded now, which takes all processes
        if team.is_first:
            if classes.words:
                _name_words(classes.words, job.folder)
            for warning in segmentor.settings(classes.vocabulary).warnings:
                sys.stderr.write(f"Note: {warning}\n")
            for warning in warning_of(segmentor.alike(classes.vocabulary)):
                sys.stderr.write(f"Note: {warning} Use other words.\n")
        return segmentor

    outcome = carried_out(job, launch, load, partial(explain, options=chosen), options.overwrite)
    if outcome is not None:
        _report(job, chosen, *outcome)


def _background_of(given: bool | str) -> bool | tuple[str, ...]:
    """What ``--background`` means before there are weights, by which words may be chosen.

    Raises:
        DataError: A list of words that cannot be read.
    """
    return given == "auto" or (read_words(given) if isinstance(given, str) else given)


def _name_words(words: Sequence[str], folder: Path) -> None:
    """Say what background was chosen, and how to choose another."""
    near = passed_over(words)
    shown = ", ".join(near[:10]) + (f" and {len(near) - 10} more" if near[10:] else "")
    beside = f" Near one of your classes, and left out: {shown}." if near else ""
    sys.stderr.write(
        f"Background: {', '.join(words)}.{beside} These {len(words)} words stand in {folder / BACKGROUND}; edited, "
        "they are taken with --background FILE.\n"
    )


def _settle_precision(asked: str, device: torch.device, job: PredictionJob) -> Precision:
    """What ``--precision`` means, with a word about why; raises ConfigError where the device cannot compute in it."""
    found, why = resolve_precision(asked, device, job.made_with_before().get("precision"))
    if why:
        sys.stderr.write(f"{why}\n")
    return found


def _find_maps(options: Namespace, readers: Sequence[str], files: Sequence[ImageFile]) -> SegmentMaps | None:
    """The segment maps that parts read.

    Raises:
        ConfigError: There are such parts, and no folder is given.
        DataError: There is no such folder, or two images would get the same map.
    """
    if not readers:
        return None
    if options.regions is None:
        raise without_maps(readers, "--regions")
    maps = SegmentMaps(expand(options.regions), options.panoptic_regions, options.resize_regions, "--regions")
    maps.check_folder()
    maps.check_names(file.map_names for file in files)
    return maps


def _name_unread(options: Namespace, maps: SegmentMaps | None) -> None:
    """Say which of what was given is not read."""
    if options.regions is not None and maps is None:
        sys.stderr.write(f"Note: {unread_maps('--regions')}\n")
    if others := unread_images(options.images, options.recursive):
        sys.stderr.write(
            f"Note: {len(others)} HEIC {'files are' if others[1:] else 'file is'} passed over: "
            f"{', '.join(map(str, others[:3]))}{', ...' if others[3:] else ''}. {INSTALL_HEIF}\n"
        )


def _report(job: PredictionJob, chosen: SegmentorOptions, table: ShareTable, skipped: Sequence[str]) -> None:
    """Print the shares, and what else there is to say of the result; raises DataError where images were skipped."""
    name_skipped(skipped)
    if chosen.weights is None:
        sys.stderr.write("Note: the weights are random; the labels mean nothing.\n")
    if DEMO in (chosen.weights, chosen.architecture):
        sys.stderr.write(
            "Note: the weights are the demo's, which have seen drawn scenes only; on photographs the labels mean "
            "nothing. Leave --model.weights and --model.architecture out for a CLIP that has seen photographs.\n"
        )
    number = len(job.files)
    left_out = f", {len(skipped)} of {number} images skipped" if skipped else ""
    print(f"\n{table.summary()}{left_out}\n\nWritten to {job.folder}")  # noqa: T201  what the command is for
    refuse_skipped(job, skipped)


def find_vocabulary(classes: str | Sequence[str], background: bool | Sequence[str] = False) -> Vocabulary:
    """The classes that ``--classes`` means.

    Args:
        classes: Names in one text or a list, the path of a class file, or the name of a benchmark or of its shipped
            class file.
        background: Add a background, or one of these words.

    Raises:
        DataError: No such class file.
        ConfigError: As ``Vocabulary.parse`` raises it.
    """
    if not isinstance(classes, str) or "," in classes:
        return Vocabulary.parse(classes, background)
    if not Path(classes).expanduser().is_file():
        from sclip_lightning.commands.parsing.benchmarks import published_benchmarks

        for benchmark in published_benchmarks():
            if classes.casefold() in (benchmark.name.casefold(), benchmark.class_file.casefold()):
                vocabulary = Vocabulary.of(benchmark)
                words = None if background is True else background
                return vocabulary if words is False else vocabulary.with_background(words)
        if not classes.endswith(".txt"):
            return Vocabulary.parse(classes, background)
        names = ", ".join(benchmark.name for benchmark in published_benchmarks())
        msg = (
            f"There is no class file {classes} (--classes), seen from {Path.cwd()}. Give the path of a text file with "
            f"one class per line, synonyms split by commas, the name of a benchmark ({names}), or the names themselves."
        )
        raise DataError(msg)
    return Vocabulary.parse([list(words) for words in read_class_file(classes)], background)


def _build_parser() -> GuardedParser:
    parser = ModelParser(prog="sclip predict", description=_DESCRIPTION, epilog=f"{METHOD_HELP} {ALLOW_HELP}")
    parser.add_argument(
        "-c",
        "--config",
        action=ActionConfigFile,
        help="A configuration; of one for sclip test only the model section counts, since trainer and data describe "
        "the evaluation of a benchmark.",
    )
    parser.add_argument(
        "--images", type=str, nargs="+", required=True, help="Image files and folders of such; several may be given."
    )
    parser.add_argument(
        "--classes",
        type=list[str] | str,
        required=True,
        help='Names split by commas, synonyms by = and |: "cat, grass=lawn|meadow, sky". Or a class file (a line per '
        "class, synonyms split by commas), or the name of a benchmark (VOC21) or its class file (voc21.txt), whose "
        "published constants then count.",
    )
    parser.add_argument(
        "--background",
        nargs="?",
        const=True,
        default=False,
        type=bool | str,
        metavar="auto|FILE",
        help="Add a class 0 for whatever is none of the classes: published words for stuff, less those that name a "
        "class, and pixels less certain than --model.prob_threshold. auto: up to 64 words for scenes that are not near "
        "any of the classes; FILE: words of yours, one a line.",
    )
    parser.add_argument(
        "--regions",
        type=str | None,
        help="Folder with a segment map for each image, for parts that read some (RegionVote): NAME.npz or NAME.png, "
        "called as the image's file, in subfolders as the images or without.",
    )
    parser.add_argument(
        "--panoptic_regions",
        action="store_true",
        help="PNG segment maps hold colours that mean the number R + 256 G + 65536 B.",
    )
    parser.add_argument(
        "--resize_regions",
        action="store_true",
        help="Take nearest pixels of segment maps of another size than their image, which are an error else.",
    )
    parser.add_argument(
        "--output_dir",
        type=str,
        default="predictions",
        help="A folder. Where it holds predictions made in the same way, those images are done only that are not done "
        "yet; devices may change, and images may be added. Made in another way, it is refused.",
    )
    parser.add_argument(
        "--export",
        type=list[Export],
        help="coco: coco.json with a run-length mask for each class of each image. polygons: a GeoJSON file for each "
        "image, in pixels. Several: --export=[coco,polygons]. Also of a finished folder, by the same command again.",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="Pixels that exported polygons may be away from the exact outlines; 0 for exact ones.",
    )
    add_work_options(parser, "predictions", "auto (a GPU if there is one), cpu or cuda.")
    parser.add_argument(
        "--precision",
        type=PrecisionChoice,
        default="auto",
        help="Of the networks. auto takes bf16-mixed where the hardware computes in bfloat16 (GPUs since Ampere, CPUs "
        "with AVX512-BF16 or AMX) and 32-true elsewhere, or what predictions to go on with were made in.",
    )
    parser.add_argument(
        "--short_side",
        type=int | None,
        help="Pixels that the short side of images is resized to, 0 for their own size; by default 336, or what is "
        "published for a benchmark's classes.",
    )
    parser.add_argument(
        "--refine_side",
        type=int | None,
        help="Pixels of the short side that refiners of maps bound a larger image to: short for --model.refine_side.",
    )
    parser.add_class_arguments(SegmentorOptions, "model")
    parser.set_defaults(DEFAULTS)
    return parser
