"""``sclip make-regions``: make segment maps of images, for parts that read one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from sclip_lightning.commands.many_images import (
    add_work_options,
    allow_large_images,
    launch_for,
    name_skipped,
    refuse_skipped,
)
from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.imports import GuardedParser, allow_imports
from sclip_lightning.data.reading.images import ImageFile, find_images, to_rgb
from sclip_lightning.data.reading.masks import read_image
from sclip_lightning.errors import DataError, UsageError, counted
from sclip_lightning.jobs.session import carried_out
from sclip_lightning.regions import RegionMaker
from sclip_lightning.regions.job import MapJob
from sclip_lightning.regions.records import MapRecord

__all__ = ["run_make_regions"]

_DESCRIPTION = """\
Make segment maps: which segment each pixel of an image belongs to, whatever it shows. Writes STEM.npz for each image,
as CorrCLIP's authors publish theirs (one array instance_mask, [H, W] of the image, 0 for no segment), and masks.json,
which says what they were made with. The default needs no weights; --maker SAM takes SAM or SAM 2. Both need:
pip install -e ".[regions]"
"""


def run_make_regions(arguments: Sequence[str]) -> None:
    """Run ``sclip make-regions`` with the given arguments.

    Raises:
        DataError: Images were skipped; the others have maps by then.
    """
    parser = _build_parser()
    options = parser.parse_args(_with_maker(allow_imports(arguments)))
    chosen = parser.instantiate_classes(options)
    allow_large_images(options)
    maker: RegionMaker = chosen.maker
    files = _find_files(options, chosen.get("data"))
    launch = launch_for(options, options.device if maker.on_device else "cpu")
    turned = options.images is not None
    job = MapJob(
        files=files,
        folder=Path(options.output_dir).expanduser().absolute(),
        on_error=options.on_error,
        read_rgb=to_rgb if turned else read_image,
        turned=turned,
    )
    outcome = carried_out(job, launch, lambda team: maker.load(team.device), _explain, options.overwrite)
    if outcome is not None:
        _report(job, *outcome)


def _with_maker(arguments: list[str]) -> list[str]:
    """The arguments with the maker that is meant where none is named.

    Not by a default of the parser, which keeps the default's numbers where another class has some of that name: SLIC,
    too, has a sigma.
    """
    named = any(argument.partition("=")[0] == "--maker" for argument in arguments)
    return arguments if named else ["--maker=Felzenszwalb", *arguments]


def _find_files(options: Namespace, data: SegmentationData | None) -> list[ImageFile]:
    """The images of a benchmark's split, or those that are named."""
    if (data is None) == (options.images is None):
        raise UsageError(
            "Give the images with --images, or a benchmark's with --data NAME --data.root FOLDER: one of both."
        )
    if data is None:
        return find_images(options.images, options.recursive)
    data.prepare()
    listing = data.listing()
    if problems := listing.problems():
        raise DataError(problems[0])
    return [ImageFile(sample.image.absolute(), sample.id) for sample in listing.samples()[: data.num_samples]]


def _explain(error: BaseException) -> str | None:
    """What happened and what to do about it; None where we do not know."""
    if isinstance(error, OSError):
        return f"The command cannot go on: {error}. Make room, or make the place readable and writable."
    from sclip_lightning.model.memory import without_memory  # brings torch, which takes seconds

    where = without_memory(error)
    if where is None:
        return None
    return (
        f"{where[0].upper()}{where[1:]} has no memory left. Make the image smaller; where --maker is SAM, lower "
        "--maker.points_per_batch, too."
    )


def _report(job: MapJob, maps: Sequence[MapRecord], skipped: Sequence[str]) -> None:
    """Print what was made; raises DataError where images were skipped."""
    name_skipped(skipped)
    numbers = np.array([record.segments for record in maps])
    lines = [
        f"{counted(len(maps), 'image has', 'images have')} a segment map in {job.folder}",
        f"Segments in an image: {numbers.min()} to {numbers.max()}, median {np.median(numbers):g}; "
        f"{100 * np.mean([record.covered for record in maps]):.1f} % of pixels lie in one.",
    ]
    if empty := int((numbers == 0).sum()):
        lines.append(
            f"{counted(empty, 'map has', 'maps have')} no segment, since no mask passed: lower "
            "--maker.iou_threshold or --maker.stability_threshold, or take more points."
        )
    print("\n" + "\n".join(lines))  # noqa: T201  what the command is for
    refuse_skipped(job, skipped)


def _build_parser() -> GuardedParser:
    parser = GuardedParser(prog="sclip make-regions", description=_DESCRIPTION)
    parser.add_argument("--images", type=str, nargs="+", help="Image files and folders of such.")
    parser.add_subclass_arguments(
        SegmentationData, "data", required=False, help="Instead of --images: a benchmark, whose split is taken."
    )
    parser.add_subclass_arguments(
        RegionMaker, "maker", help="Who makes the maps; Felzenszwalb unless another is named."
    )
    parser.add_argument(
        "--output_dir",
        type=str,
        default="region_masks",
        help="A folder. Where it holds maps made in the same way, those are made only that are missing; made in "
        "another way, it is refused.",
    )
    add_work_options(parser, "maps", "Of SAM: auto (a GPU if there is one), cpu or cuda.")
    return parser
