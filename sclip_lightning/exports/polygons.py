"""Label maps as polygons: a file of GeoJSON's form for each image.

That form, since QuPath and QGIS open it as it is and scripts for other tools convert it in a few lines; but coordinates
are pixels and y points down. QuPath takes ``classification`` for the name and colour of an annotation.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sclip_lightning.exports.label_maps import ClassEntry, Labels, label_maps
from sclip_lightning.exports.outlines import Polygon, Ring, polygons_of, simplified
from sclip_lightning.files import replacing_folder
from sclip_lightning.records.artefacts import POLYGONS
from sclip_lightning.records.predicted import PredictedImage

__all__ = ["TOLERANCE", "write_polygons"]

#: Pixels that a simplified outline may be away from the exact one.
TOLERANCE = 1.0


def write_polygons(
    folder: Path, images: Iterable[PredictedImage], classes: Sequence[ClassEntry], tolerance: float = TOLERANCE
) -> Path:
    """Write ``polygons/NAME.geojson`` for each image, with one label map in memory at a time.

    The folder takes the place of an earlier one once it is complete.

    Args:
        folder: Where the predictions lie.
        images: Those that have label maps.
        classes: Those to export.
        tolerance: Pixels that a simplified outline may be away from the exact one; 0 for exact ones.

    Returns:
        The folder with the files.
    """
    path = folder / POLYGONS
    with replacing_folder(path) as temporary:
        for image, labels in label_maps(folder, images):
            place = temporary / f"{image.id}.geojson"
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("w", encoding="utf-8") as file:
                _write(file, image, labels, classes, tolerance)
    return path


def _write(file: Any, image: PredictedImage, labels: Labels, classes: Sequence[ClassEntry], tolerance: float) -> None:
    about = {"type": "FeatureCollection", "image": image.path, "height": image.size[0], "width": image.size[1]}
    file.write(json.dumps(about | {"tolerance": tolerance}, ensure_ascii=False)[:-1] + ', "features": [')
    separator = "\n"
    for entry in classes:
        if not image.pixels[entry.index]:
            continue
        for polygon in polygons_of(labels == entry.index):
            file.write(separator + json.dumps(_feature(polygon, entry, tolerance), ensure_ascii=False))
            separator = ",\n"
    file.write("]}\n")


def _feature(polygon: Polygon, entry: ClassEntry, tolerance: float) -> dict[str, Any]:
    outer, holes = polygon
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [_closed(simplified(ring, tolerance)) for ring in (outer, *holes)],
        },
        "properties": {
            "objectType": "annotation",
            "class": entry.name,
            "index": entry.index,
            "classification": {"name": entry.name, "color": list(entry.colour)},
        },
    }


def _closed(ring: Ring) -> list[list[int]]:
    points: list[list[int]] = ring.tolist()
    return [*points, points[0]]
