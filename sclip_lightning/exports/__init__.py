"""Label maps in the formats of annotation tools; neither torch nor Lightning."""

from sclip_lightning.exports.coco import write_coco
from sclip_lightning.exports.polygons import TOLERANCE, write_polygons

__all__ = ["TOLERANCE", "write_coco", "write_polygons"]
