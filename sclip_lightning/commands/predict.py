"""``sclip predict``: segment one's own images into one's own classes."""

import csv
import json
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from tqdm import tqdm

from sclip_lightning.commands.failures import explain, stoppable
from sclip_lightning.commands.parsing.configs import METHOD_HELP, expand_method, resolve_arguments
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.commands.parsing.parts import DEFAULTS
from sclip_lightning.data.reading.benchmark import read_class_file
from sclip_lightning.data.reading.heif import INSTALL_HEIF
from sclip_lightning.data.reading.images import ImageFile, check_images, find_images, unread_images
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.errors import ConfigError, DataError, RunError, SclipError, StoppedError, message_of
from sclip_lightning.files import DEMO, replacing, write_text
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.model.likeness import warning_of
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.records.artefacts import CONFIG, LABELS, OVERLAYS
from sclip_lightning.records.run_folder import check_place, new_run_folder
from sclip_lightning.reports.cells import csv_cell
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.segmentor import Precision, Segmentor, check_options
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["find_vocabulary", "run_predict"]

OnError = Literal["stop", "skip"]

#: Sections by which a configuration of ``sclip test`` is told.
_TEST_SECTIONS = {"trainer", "data", "panels", "name", "seed_everything"}

_DESCRIPTION = """\
Segment your own images into your own classes. Writes, per image, a label map (PNG of class indices), the image under
its labels with a legend, and the share of every class.

Without --background every pixel goes to the best of the classes, however badly that fits. With it, a class 0 takes
whatever looks more like one of 26 other things (sky, wall, tree, ...: the list published with SCLIP), and whatever
gets a probability below --model.prob_threshold (0.1 then, as published for COCO-Object).
"""


def run_predict(arguments: Sequence[str]) -> None:
    """Run ``sclip predict`` with the given arguments."""
    parser = _build_parser()
    options = parser.parse_args(resolve_arguments(expand_method(allow_imports(arguments))))
    chosen: SegmentorOptions = parser.instantiate_classes(options).model
    # Whatever can be found wrong before the weights are loaded.
    files = find_images(options.images, options.recursive)
    if others := unread_images(options.images, options.recursive):
        sys.stderr.write(
            f"Note: {len(others)} HEIC {'files are' if others[1:] else 'file is'} passed over: "
            f"{', '.join(map(str, others[:3]))}{', ...' if others[3:] else ''}. {INSTALL_HEIF}\n"
        )
    if options.on_error == "stop":
        try:
            check_images(files)
        except DataError as error:
            msg = f"{error} To skip such images: --on_error skip."
            raise DataError(msg) from error
    vocabulary = find_vocabulary(options.classes, options.background)
    check_options(chosen, vocabulary)
    resolve(chosen, vocabulary, options.short_side)
    output = Path(options.output_dir).expanduser().absolute()
    place = str(output.parent), "", output.name
    check_place(*place)
    segmentor = Segmentor(chosen, short_side=options.short_side, device=options.device, precision=options.precision)
    segmentor.sliding_window(vocabulary)
    for warning in warning_of(segmentor.alike(vocabulary)):
        sys.stderr.write(f"Note: {warning} Use other words.\n")

    try:
        output = new_run_folder(*place)
        (output / LABELS).mkdir()
        (output / OVERLAYS).mkdir()
        write_text(output / CONFIG, parser.dump(options, skip_none=False))
        write_text(output / "classes.csv", _class_table(vocabulary))
        write_text(output / "settings.json", _describe(segmentor, vocabulary))
        with ShareTable(output / "shares.csv", vocabulary.names) as table, stoppable():
            skipped = _predict_all(segmentor, vocabulary, files, output, table, options.on_error)
    except OSError as error:
        raise RunError(f"{explain(error, chosen)} {_what_is_done(output)}") from error
    except StoppedError as error:
        raise StoppedError(f"{error} {_what_is_done(output)}") from error
    if skipped:
        write_text(output / "settings.json", _describe(segmentor, vocabulary, skipped))
    for problem in skipped:
        sys.stderr.write(f"Skipped: {problem}\n")
    if chosen.weights is None:
        sys.stderr.write("Note: the weights are random; the labels mean nothing.\n")
    if DEMO in (chosen.weights, chosen.architecture):
        sys.stderr.write(
            "Note: the weights are the demo's, which have seen drawn scenes only; on photographs the labels mean "
            "nothing. Leave --model.weights and --model.architecture out for a CLIP that has seen photographs.\n"
        )
    left_out = f", {len(skipped)} of {len(files)} images skipped" if skipped else ""
    print(f"\n{table.summary()}{left_out}\n\nWritten to {output}")  # noqa: T201  what the command is for
    if skipped:
        msg = f"{len(skipped)} of {len(files)} images were skipped, named above; the others are done."
        raise DataError(msg)


def _what_is_done(output: Path) -> str:
    return f"What was done before lies in {output}; its shares.csv names every image that is done."


def find_vocabulary(classes: str | Sequence[str], background: bool = False) -> Vocabulary:
    """The classes that ``--classes`` means.

    Args:
        classes: Names in one text or a list, the path of a class file, or the name of a benchmark or of its shipped
            class file.
        background: Add a background.

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
                return vocabulary.with_background() if background else vocabulary
        if not classes.endswith(".txt"):
            return Vocabulary.parse(classes, background)
        names = ", ".join(benchmark.name for benchmark in published_benchmarks())
        msg = (
            f"There is no class file {classes} (--classes), seen from {Path.cwd()}. Give the path of a text file with "
            f"one class per line, synonyms split by commas, the name of a benchmark ({names}), or the names themselves."
        )
        raise DataError(msg)
    return Vocabulary.parse([list(words) for words in read_class_file(classes)], background)


class _Parser(GuardedParser):
    """Takes from a configuration of ``sclip test`` its model section alone, and says so."""

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Parse one configuration file."""
        try:
            content = yaml.safe_load(Path(str(cfg_path)).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            msg = f"{cfg_path} (--config) is no YAML: {' '.join(str(error).split())}. Correct it, or name another file."
            raise ConfigError(msg) from error
        if not isinstance(content, dict) or not content.keys() & _TEST_SECTIONS:
            return super().parse_path(cfg_path, *args, **kwargs)
        ignored = sorted(content.keys() - {"model"})
        sys.stderr.write(f"Note: sclip predict takes only the model from {cfg_path}, not {', '.join(ignored)}.\n")
        return self.parse_string(yaml.safe_dump({"model": content.get("model") or {}}), **kwargs)


def _build_parser() -> GuardedParser:
    parser = _Parser(prog="sclip predict", description=_DESCRIPTION, epilog=f"{METHOD_HELP} {ALLOW_HELP}")
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
        action="store_true",
        help="Add a class 0 for whatever is none of the classes: published words for stuff, less those that name a "
        "class, and pixels less certain than --model.prob_threshold.",
    )
    parser.add_argument("--recursive", action="store_true", help="Take images from subfolders, too.")
    parser.add_argument("--output_dir", type=str, default="predictions", help="A folder; never overwrites one.")
    parser.add_argument(
        "--on_error", type=OnError, default="stop", help="What to do about an image that cannot be read or segmented."
    )
    parser.add_argument("--device", type=str, default="auto", help="auto (a GPU if there is one), cpu or cuda.")
    parser.add_argument(
        "--precision",
        type=Precision,
        default="32-true",
        help="Of the vision tower. bf16-mixed is faster on GPUs; most CPUs only emulate it.",
    )
    parser.add_argument(
        "--short_side",
        type=int | None,
        help="Pixels that the short side of images is resized to, 0 for their own size; by default 336, or what is "
        "published for a benchmark's classes.",
    )
    parser.add_class_arguments(SegmentorOptions, "model")
    parser.set_defaults(DEFAULTS)
    return parser


def _predict_all(
    segmentor: Segmentor,
    vocabulary: Vocabulary,
    files: Sequence[ImageFile],
    output: Path,
    table: ShareTable,
    on_error: OnError,
) -> list[str]:
    """Segment every image and write what it gives; returns what was the matter with those skipped."""
    skipped = []
    for file in tqdm(files, "Segmenting", unit="image"):
        try:
            _predict(segmentor, vocabulary, file, output, table)
        except (DataError, MemoryError, RuntimeError) as error:
            if isinstance(error, SclipError):
                problem = message_of(error)
            elif (advice := explain(error, segmentor.options)) is not None:
                problem = advice
            else:
                raise
            if str(file.path) not in problem:
                problem = f"{file.path}: {problem}"
            if on_error == "stop":
                msg = f"{problem} To skip such images: --on_error skip. What was done before lies in {output}."
                raise DataError(msg) from error
            skipped.append(problem)
    if len(skipped) == len(files):
        msg = f"None of the {len(files)} images could be segmented. The first: {skipped[0]}"
        raise DataError(msg)
    return skipped


def _predict(segmentor: Segmentor, vocabulary: Vocabulary, file: ImageFile, output: Path, table: ShareTable) -> None:
    """Segment one image and write what it gives; nothing of it is kept in memory.

    An image is done once it has a row in the table. Where it gets none, its files go, too.
    """
    prediction = segmentor.predict(file.path, vocabulary)
    labels, overlay = (output / kind / f"{file.name}.png" for kind in (LABELS, OVERLAYS))
    try:
        prediction.save(labels)
        with replacing(overlay) as temporary:
            prediction.overlay(file.name).save(temporary, format="PNG")
        height, width = prediction.labels.shape
        table.add(file.path, file.name, (height, width), list(prediction.shares().values()))
    except BaseException:
        labels.unlink(missing_ok=True)
        overlay.unlink(missing_ok=True)
        raise


def _class_table(vocabulary: Vocabulary) -> str:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["index", "class", "names", "red", "green", "blue"])
    for index, (name, words) in enumerate(zip(vocabulary.names, vocabulary.synonyms, strict=True)):
        writer.writerow([index, csv_cell(name), csv_cell(", ".join(words)), *vocabulary.palette[index].tolist()])
    return text.getvalue()


def _describe(segmentor: Segmentor, vocabulary: Vocabulary, skipped: Sequence[str] = ()) -> str:
    """Everything that the labels depend on, besides images and classes; and why images have none."""
    numbers = segmentor.settings(vocabulary)
    settings = {
        "short_side": numbers.protocol.short_side,
        "templates": list(numbers.templates),
        **describe_segmentor(segmentor.sliding_window(vocabulary)),
        "architecture": segmentor.clip.architecture,
        "architecture_sha256": segmentor.clip.configuration_sha256[:12],
        "weights": segmentor.clip.weights,
        "weights_sha256": segmentor.clip.fingerprint[:12],
        "precision": segmentor.precision,
        "environment": describe_environment(segmentor.device),
        "skipped": list(skipped),
    }
    return json.dumps(settings, indent=2) + "\n"
