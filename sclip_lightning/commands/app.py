"""``sclip app``: segment one's own images in the browser, changing words and numbers while looking."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from sclip_lightning.app.choices import STARTED, Choices
from sclip_lightning.app.server import check_gradio, serve, temporary_folder
from sclip_lightning.app.workbench import Limits, Workbench
from sclip_lightning.commands.failures import stoppable
from sclip_lightning.commands.parsing.configs import METHOD_HELP, expand_method, resolve_arguments
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.commands.parsing.model_only import ModelParser
from sclip_lightning.commands.parsing.parts import DEFAULTS
from sclip_lightning.data.reading.words import read_words
from sclip_lightning.errors import StoppedError
from sclip_lightning.files import DEMO
from sclip_lightning.model.devices import PrecisionChoice
from sclip_lightning.model.facts import load_method, method_names, model_section
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.ranges import above, at_least, check_number
from sclip_lightning.segmentor import Background, Segmentor

__all__ = ["make_page", "parse", "run_app"]

_DESCRIPTION = """\
Open a page in the browser: drop an image, type classes, and look at what is where. The page is served from this machine
to this machine alone (127.0.0.1) unless --host says otherwise, and needs no network once the weights are there. An
image's features stay in memory while you change words, background, threshold or scale.
"""

#: Options of a method file that hold for all methods of the page.
_SHARED = ("architecture", "weights", "templates", "crop", "stride", "window_batch_size", "logit_scale")


def run_app(arguments: Sequence[str]) -> None:
    """Run ``sclip app`` with the given arguments."""
    options = parse(arguments)

    def say(address: str) -> None:
        print(f"Open {address} in a browser. Ctrl-C ends this.", flush=True)  # noqa: T201  what the command is for

    with suppress(StoppedError), stoppable(), temporary_folder() as folder:
        page = make_page(options, folder)
        serve(page, options.host, options.port, options.max_megabytes, say, options.open_browser)


def parse(arguments: Sequence[str]) -> Namespace:
    """What the arguments say; under ``chosen`` the options of the segmentor, under ``methods`` those of all methods.

    Raises:
        ConfigError: Arguments that cannot be understood, or Gradio is not installed.
    """
    parser = _build_parser()
    options = parser.parse_args(resolve_arguments(expand_method(allow_imports(arguments))))
    check_gradio()
    if options.port is not None:
        check_number(options.port, at_least(1, whole=True), "--port")
    for name in ("max_megapixels", "max_megabytes", "memory"):
        check_number(getattr(options, name), above(0), f"--{name}")
    chosen: SegmentorOptions = parser.instantiate_classes(options).model
    if chosen.architecture == DEMO:
        chosen = _as_trained(chosen, options)
    options["chosen"] = chosen
    options["methods"] = {STARTED: chosen, **_methods(parser, chosen)}
    return options


def make_page(options: Namespace, folder: Path) -> Any:
    """The page that the options ask for, with its weights loaded.

    Args:
        options: From :func:`parse`.
        folder: For everything that the page writes.

    Raises:
        SclipError: Weights, device or options that cannot be used.
    """
    chosen: SegmentorOptions = options.chosen
    drawn = chosen.weights == DEMO
    examples: list[Path] = []
    classes = options.classes
    if drawn:
        from sclip_lightning.app.drawn import demo_classes, write_examples

        examples = write_examples(folder / "scenes")
        classes = classes or demo_classes()
    segmentor = Segmentor(
        chosen,
        short_side=options.short_side,
        device=options.device,
        precision=options.precision,
        cache=folder / "names",
    )
    limits = Limits(options.max_megapixels, options.max_megabytes)
    background = _background_of(options.background)
    workbench = Workbench(segmentor, Choices(options.methods), limits, int(options.memory * 2**30), background)
    from sclip_lightning.app.page import Texts, build_page  # imports Gradio, which reads its environment then

    note = "It has seen drawn scenes only: on photographs the labels mean nothing." if drawn else ""
    if chosen.weights is None:
        note = "Its weights are random: the labels mean nothing."
    network = "the demo's small CLIP" if drawn else f"{chosen.architecture}, weights {chosen.weights or 'none'}"
    device = "GPU" if segmentor.device.type == "cuda" else segmentor.device.type.upper()
    texts = Texts(f"Network: {network}, on the {device}", classes or "", note)
    return build_page(workbench, texts, folder / "downloads", examples)


def _background_of(given: str) -> Background:
    """What ``--background`` means; raises DataError for a list of words that cannot be read."""
    if given == "auto":
        return given
    return True if given == "published" else read_words(given)


def _as_trained(options: SegmentorOptions, arguments: Namespace) -> SegmentorOptions:
    """The demo's CLIP takes windows of its own size; what the user gave stays."""
    from sclip_lightning.app.drawn import demo_numbers

    numbers = demo_numbers()
    if arguments.short_side is None:
        arguments.short_side = numbers["short_side"]
    del numbers["short_side"]
    return replace(options, **{name: value for name, value in numbers.items() if getattr(options, name) is None})


def _methods(parser: GuardedParser, chosen: SegmentorOptions) -> dict[str, SegmentorOptions]:
    """The options of every method file, with what is shared taken from those that the page starts with."""
    found = {}
    for name in method_names():
        text = yaml.safe_dump({"model": model_section(name)})
        made: SegmentorOptions = parser.instantiate_classes(parser.parse_string(text, defaults=True)).model
        found[load_method(name).name] = replace(made, **{one: getattr(chosen, one) for one in _SHARED})
    return found


def _build_parser() -> GuardedParser:
    parser = ModelParser(prog="sclip app", description=_DESCRIPTION, epilog=f"{METHOD_HELP} {ALLOW_HELP}")
    parser.add_argument(
        "-c",
        "--config",
        action=ActionConfigFile,
        help="A configuration; of one for sclip test only the model section counts. demo.yaml needs no download.",
    )
    parser.add_argument("--host", type=str, default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all networks.")
    parser.add_argument("--port", type=int | None, help="That port and no other; the first free one from 7860 on.")
    parser.add_argument("--open_browser", action="store_true", help="Open the page in the browser of this machine.")
    parser.add_argument("--classes", type=str, default="", help="What stands in the box at the start.")
    parser.add_argument(
        "--background",
        type=str,
        default="published",
        metavar="auto|FILE",
        help="What a background is made of once it is asked for: as for predict.",
    )
    parser.add_argument("--max_megapixels", type=float, default=16.0, help="Most million pixels of an image.")
    parser.add_argument("--max_megabytes", type=float, default=32.0, help="Most of an uploaded file.")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB of features that are kept, on the device.")
    parser.add_argument("--device", type=str, default="auto", help="auto (a GPU if there is one), cpu or cuda.")
    parser.add_argument("--precision", type=PrecisionChoice, default="auto", help="Of the networks, as for predict.")
    parser.add_argument("--short_side", type=int | None, help="Pixels that the short side of images is resized to.")
    parser.add_class_arguments(SegmentorOptions, "model")
    parser.set_defaults(DEFAULTS)
    return parser
