"""All data modules. Importing this makes their short names known to the command line: ``--data VOC21``."""

import sclip_lightning.data
from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.demo.benchmark import Demo

__all__ = ["DATA_MODULES", "SegmentationDataModule", "published_benchmarks"]

#: Every data module that ``--data`` takes by name.
DATA_MODULES: tuple[type[SegmentationDataModule], ...] = (
    *(getattr(sclip_lightning.data, name) for name in sclip_lightning.data.__all__ if name != "SegmentationDataModule"),
    Demo,
)


def published_benchmarks() -> list[Benchmark]:
    """The benchmarks that have classes of their own, which own data have not."""
    return [module.published for module in DATA_MODULES if hasattr(module, "published")]
