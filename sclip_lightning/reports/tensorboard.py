"""Results in TensorBoard. Imports torch, whose writer it is, and what draws only to write, and no Lightning.

Every score is one point with a name of its own, which smoothing leaves as it is. Curves are drawn only of what has a
course: the scores over the images seen so far. Scores of classes are a picture and a table. Names of groups are chosen
so that TensorBoard, which sorts them, shows the headline scores first.
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from sclip_lightning.records import ImageRecord
from sclip_lightning.reports.cells import markdown_cell
from sclip_lightning.reports.course import course, images_of_classes
from sclip_lightning.reports.results import Results, percent

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["HEADLINE", "IMAGES", "add_png", "write_results"]

#: Groups of scalars, and that of all pictures.
HEADLINE, COURSE, PERFORMANCE, SEAMS, IMAGES = "headline", "so_far", "performance", "seams", "images"


def write_results(writer: "SummaryWriter", results: Results, images: Sequence[ImageRecord] = ()) -> None:
    """Write scores and their course, scores of classes, protocol, environment, and one HParams entry.

    Tags are the same in every run, so selecting several runs lays them beside each other.

    Args:
        writer: Where to.
        results: What to show.
        images: The scored images that the results are of, in the data set's order; without them there is no course.
    """
    from torch.utils.tensorboard.summary import hparams

    from sclip_lightning.pictures.bars import draw_classes
    from sclip_lightning.pictures.png import png_bytes

    # Numbered, since TensorBoard sorts them, and mIoU would be the last.
    numbered = enumerate(results.metrics.items(), 1)
    scores = {f"{HEADLINE}/{number}_{name}": value for number, (name, value) in numbered if _exists(value)}
    for tag, score in scores.items():
        writer.add_scalar(tag, score, global_step=len(images))
    for name, value in results.performance.items():
        if isinstance(value, float):
            writer.add_scalar(f"{PERFORMANCE}/{name.replace(' ', '_')}", value)
    for name in ("share", "share_elsewhere", "ratio"):
        if _exists(value := (results.seams or {}).get(name)):
            writer.add_scalar(f"{SEAMS}/{name}", value, global_step=len(images))
    classes = [row["class"] for row in results.classes]
    _write_course(writer, results, images)
    add_png(writer, f"{IMAGES}/classes", png_bytes(draw_classes(classes, [row.get("IoU") for row in results.classes])))
    writer.add_text("per_class", results.markdown())
    if images:
        writer.add_text("images_of_classes", _images_of_classes(images, classes))
    writer.add_text("protocol", _as_table(results.protocol))
    writer.add_text("environment", _as_table(results.environment | results.performance))
    # One entry only: TensorBoard ignores the names of metrics that come in a second one. add_hparams would write it
    # into a folder of its own, where it is a run beside this one.
    file = writer._get_file_writer()
    for summary in hparams(_hyperparameters(results), scores):
        file.add_summary(summary)
    writer.flush()


def add_png(writer: "SummaryWriter", tag: str, content: bytes) -> None:
    """Show a picture that is a PNG already, which ``add_image`` would decode and encode again.

    Args:
        writer: Where to.
        tag: What it is called.
        content: Of the PNG file.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(content)) as header:
        width, height = header.size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]))


def _write_course(writer: "SummaryWriter", results: Results, images: Sequence[ImageRecord]) -> None:
    """The scores over the images seen so far, and a page of charts of them.

    Margin charts, with bounds that are the curve itself: they are the only ones that TensorBoard never smooths. It
    shows those of a category from the last to the first.
    """
    boundaries = [name for name in (images[0].counts.boundaries if images else {}) if name in results.metrics]
    for seen, scores in course(images, len(results.classes), boundaries):
        for name, score in scores.items():
            if _exists(score):
                writer.add_scalar(f"{COURSE}/{name}", score, global_step=seen)
    if images:
        tags = {name: f"{COURSE}/{name}" for name, value in results.metrics.items() if _exists(value)}
        charts = {name: ["Margin", [tag, tag, tag]] for name, tag in reversed(tags.items())}
        writer.add_custom_scalars({"Over the images seen so far; the last point is the result": charts})


def _images_of_classes(images: Sequence[ImageRecord], classes: Sequence[str]) -> str:
    rows = [
        f"| {markdown_cell(one.name)} | {one.images} | {markdown_cell(one.worst)} | {percent(one.worst_iou)} "
        f"| {markdown_cell(one.median)} | {percent(one.median_iou)} |"
        for one in images_of_classes(images, classes)
    ]
    head = "| class | in images | worst image | IoU there | median image | IoU there |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _hyperparameters(results: Results) -> dict[str, Any]:
    """The protocol as TensorBoard takes it: one value per choice, without checksums."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in results.protocol.items()
        if not name.endswith("sha256")
    }


def _exists(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _as_table(entries: dict[str, Any]) -> str:
    rows = [f"| {markdown_cell(name)} | {markdown_cell(str(value))} |" for name, value in entries.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])
