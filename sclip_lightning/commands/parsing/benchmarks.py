"""All benchmarks. Importing this makes their short names known to the command line: ``--data VOC21``."""

import sclip_lightning.data
from sclip_lightning.data import SegmentationData
from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.demo.benchmark import Demo

__all__ = ["DATA_SETS", "SegmentationData", "published_benchmarks"]

#: All that ``--data`` takes by name.
DATA_SETS: tuple[type[SegmentationData], ...] = (
    *(getattr(sclip_lightning.data, name) for name in sclip_lightning.data.__all__ if name != "SegmentationData"),
    Demo,
)


def published_benchmarks() -> list[Benchmark]:
    """The benchmarks that have classes of their own, which own data have not."""
    return [data.published for data in DATA_SETS if hasattr(data, "published")]
