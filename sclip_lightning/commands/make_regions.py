"""``sclip make-regions``: make segment maps of images, for parts that read one."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.imports import GuardedParser, allow_imports
from sclip_lightning.data.reading.images import ImageFile, check_images, find_images, to_rgb
from sclip_lightning.data.reading.masks import read_image
from sclip_lightning.data.reading.pixels import MOST_PIXELS, allow_pixels
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.engine.orderly_end import orderly_end
from sclip_lightning.errors import DataError, UsageError, counted
from sclip_lightning.model.devices import find_device
from sclip_lightning.predicting.processes import launch_of
from sclip_lightning.ranges import at_least, check_number
from sclip_lightning.records.run_folder import clear_run, locked, remove_leftovers
from sclip_lightning.regions import RegionMaker
from sclip_lightning.regions.folder import MAPS, MASKS, open_folder
from sclip_lightning.regions.job import MapJob, MapSession, OnError
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
    check_number(options.max_pixels, at_least(1, whole=True), "--max_pixels")
    allow_pixels(options.max_pixels)
    maker: RegionMaker = chosen.maker
    files = _find_files(options, chosen.get("data"))
    device = options.device if maker.on_device else "cpu"
    launch = launch_of(options.devices, options.num_nodes, device, find_device)
    folder = Path(options.output_dir).expanduser().absolute()
    turned = options.images is not None
    job = MapJob(files, to_rgb if turned else read_image, turned, folder, options.on_error)
    if launch.is_first:
        open_folder(folder)
    stop = StopRequest()
    session: MapSession | None = None

    def progress() -> str:
        return session.progress() if session is not None else f"No segment map was made; {folder} is as it was."

    with (
        stop.listen(launch.is_first, launch.launcher),
        orderly_end(stop, _explain, progress),
        locked(folder, "making segment maps", "--output_dir") if launch.is_first else nullcontext(),
    ):
        if launch.is_first:
            if options.overwrite:
                clear_run(folder, MAPS, (MASKS,))
            remove_leftovers(folder)
            _check_headers(job)
        team = launch.start()
        session = MapSession(job, team, stop, _explain)
        records = session.run(maker.load(team.device))
    if records is not None:
        _report(job, records)


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


def _check_headers(job: MapJob) -> None:
    """Find images that hold none before anything is loaded, unless they are to be skipped."""
    if job.on_error == "stop":
        try:
            check_images([job.files[index] for index in job.remaining()])
        except DataError as error:
            msg = f"{error} To skip such images: --on_error skip."
            raise DataError(msg) from error


def _explain(error: BaseException) -> str | None:
    """What happened and what to do about it; None where we do not know."""
    if isinstance(error, OSError):
        return f"The command cannot go on: {error}. Make room, or make the place readable and writable."
    from sclip_lightning.model.memory import without_memory  # brings open_clip, which takes seconds

    where = without_memory(error)
    if where is None:
        return None
    return (
        f"{where[0].upper()}{where[1:]} has no memory left. Make the image smaller; where --maker is SAM, lower "
        "--maker.points_per_batch, too."
    )


def _report(job: MapJob, records: Sequence[MapRecord]) -> None:
    """Print what was made; raises DataError where images were skipped."""
    maps = [record for record in records if record.skipped is None]
    skipped = [record.skipped for record in records if record.skipped is not None]
    for problem in skipped:
        sys.stderr.write(f"Skipped: {problem}\n")
    if not maps:
        raise DataError(f"None of the {len(job.files)} images has a segment map. The first: {skipped[0]}")
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
    if skipped:
        msg = (
            f"{counted(len(skipped), 'image was', 'images were')} skipped, named above; the others are done. The same "
            "command tries again."
        )
        raise DataError(msg)


def _build_parser() -> GuardedParser:
    parser = GuardedParser(prog="sclip make-regions", description=_DESCRIPTION)
    parser.add_argument("--images", type=str, nargs="+", help="Image files and folders of such.")
    parser.add_argument("--recursive", action="store_true", help="Take images from subfolders, too.")
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
    parser.add_argument(
        "--overwrite", action="store_true", help="Delete the maps that the folder holds and start afresh."
    )
    parser.add_argument(
        "--on_error", type=OnError, default="stop", help="What to do about an image that cannot be read or segmented."
    )
    parser.add_argument("--max_pixels", type=int, default=MOST_PIXELS, help="Most pixels that an image may have.")
    parser.add_argument(
        "--devices", type=int, default=1, help="Processes on each machine, one a device; several share the images."
    )
    parser.add_argument(
        "--num_nodes", type=int, default=1, help="Machines, which share --output_dir; a scheduler starts the command."
    )
    parser.add_argument("--device", type=str, default="auto", help="Of SAM: auto (a GPU if there is one), cpu or cuda.")
    return parser
