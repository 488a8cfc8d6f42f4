"""``sclip report --format html``: reads the images, which needs torch, and writes the page."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from sclip_lightning.commands.parsing.run_images import RunImages
from sclip_lightning.errors import ConfigError, DataError, RunError
from sclip_lightning.pictures.palette import distinct_colours, told_apart
from sclip_lightning.reports.html import PackedImage, RunView, check_target, choose, describe, pack, write_page

__all__ = ["write_html"]

#: Longest side of thumbnails in pixels, up to and above so many images.
SIDES, FEW = (480, 256), 100
#: Images that are read ahead of the page for each thread: memory is bounded by that.
AHEAD = 4

Picture = tuple[str, PackedImage | str]


def write_html(
    views: Sequence[RunView],
    target: Path,
    kinds: Sequence[str],
    number: int,
    beside: bool = False,
    notes: Sequence[str] = (),
    allowed: str | None = None,
) -> list[str]:
    """Write the page of some runs.

    Args:
        views: The runs.
        target: The page.
        kinds: Of images to show; see ``reports.html.content.KINDS``. None at all for a page without pictures.
        number: Images of each kind.
        beside: Write thumbnails into a folder beside the page.
        notes: What a reader must know.
        allowed: Modules, split by commas, whose classes the runs' configurations may name.

    Returns:
        What could not be drawn, and how it could be.

    Raises:
        ConfigError: The runs are of several benchmarks, or the page would overwrite something else.
        RunError: The page cannot be written.
    """
    first = views[0].run
    for view in views[1:]:
        if (view.run.benchmark, view.run.classes) != (first.benchmark, first.classes):
            msg = (
                f"{views[0].folder} is a run of {first.benchmark} ({len(first.classes)} classes), {view.folder} one of "
                f"{view.run.benchmark} ({len(view.run.classes)}), and a page is of one benchmark. Write one for each."
            )
            raise ConfigError(msg)
    check_target(target, beside)
    report = describe(views, notes)
    chosen = choose(report, kinds, number)
    classes = len(first.classes)
    colours, lacking = distinct_colours(classes), list[str]()
    pictures: Iterator[Picture] = iter((id_, "No picture: see above.") for id_ in chosen)
    if chosen:
        images = RunImages([Path(view.folder).expanduser() for view in views], allowed)
        images.note_missing(list(chosen))
        images.note_changed({one.id: one.fingerprint for one in views[0].records if one.id in chosen})
        lacking = images.lacking
        if images.data is not None:
            colours = told_apart(images.data.benchmark.palette, range(classes))
            pictures = _pictures(images, list(chosen), classes)
    try:
        write_page(target, report, colours, chosen, pictures, lacking, beside)
    except OSError as error:
        msg = f"The page cannot be written to {target} ({error}). Make room, or choose another place with --output."
        raise RunError(msg) from error
    return lacking


def _pictures(images: RunImages, ids: Sequence[str], classes: int) -> Iterator[Picture]:
    """Read and pack in threads, a few images ahead: decoding and packing leave Python to others."""
    side = SIDES[len(ids) > FEW]
    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
    draw = partial(_packed, images, classes, side)
    with ThreadPoolExecutor(threads) as pool:
        waiting = iter(ids)
        futures = [pool.submit(draw, id_) for id_ in islice(waiting, AHEAD * threads)]
        for _ in tqdm(range(len(ids)), "Drawing", unit="image", disable=not sys.stderr.isatty()):
            yield futures.pop(0).result()
            futures += [pool.submit(draw, id_) for id_ in islice(waiting, 1)]


def _packed(images: RunImages, classes: int, side: int, id_: str) -> Picture:
    try:
        image, truth, predictions = images.read(id_)
    except DataError as error:
        return id_, f"No picture: {error}"
    return id_, pack(image, truth, predictions, classes, side)
