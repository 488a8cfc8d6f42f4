"""Label maps as one file of COCO's format: a run-length mask for each class of each image."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sclip_lightning.exports.label_maps import ClassEntry, label_maps
from sclip_lightning.exports.rle import compress, runs_of_classes
from sclip_lightning.files import replacing
from sclip_lightning.records.artefacts import COCO
from sclip_lightning.records.predicted import PredictedImage

__all__ = ["write_coco"]


def write_coco(folder: Path, images: Callable[[], Iterable[PredictedImage]], classes: Sequence[ClassEntry]) -> Path:
    """Write ``coco.json``, with one label map in memory at a time.

    Categories have the index that their class has in label maps, images and annotations are numbered from 1.

    Args:
        folder: Where the predictions lie.
        images: Gives the images that have label maps; called twice.
        classes: Those to export.

    Returns:
        The file.
    """
    indices = {entry.index for entry in classes}
    categories = [{"id": entry.index, "name": entry.name, "supercategory": ""} for entry in classes]
    path = folder / COCO
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "made by sclip predict"}, "licenses": [],\n')
        file.write(f'"categories": {_json(categories)}')
        file.write(',\n"images": [')
        for number, image in enumerate(images(), 1):
            entry = {"id": number, "file_name": image.path, "height": image.size[0], "width": image.size[1]}
            file.write(f"{',' * (number > 1)}\n{_json(entry)}")
        file.write('],\n"annotations": [')
        annotations = 0
        for number, (image, labels) in enumerate(label_maps(folder, images()), 1):
            for index, runs in runs_of_classes(labels).items():
                if index not in indices:
                    continue
                annotations += 1
                annotation = {
                    "id": annotations,
                    "image_id": number,
                    "category_id": index,
                    "segmentation": {"size": list(image.size), "counts": compress(runs.counts)},
                    "area": runs.area,
                    "bbox": list(runs.box),
                    "iscrowd": 0,
                }
                file.write(f"{',' * (annotations > 1)}\n{_json(annotation)}")
        file.write("]}\n")
    return path


def _json(thing: Any) -> str:
    return json.dumps(thing, ensure_ascii=False)
