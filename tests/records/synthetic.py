"""Made-up records and runs."""

from dataclasses import replace

import numpy as np

from sclip_lightning.records import ImageCounts, ImageRecord, RecordWriter
from sclip_lightning.records.run import Run, Session

BOUNDARIES = ["bF1@0.75pct", "bF1@3px"]


def make_record(index, num_classes=21, pairs=30, seed=0):
    """One image with up to so many pairs of classes."""
    rng = np.random.default_rng([seed, index])
    cells = np.unique(rng.integers(num_classes**2, size=pairs))
    confusion = np.stack([cells // num_classes, cells % num_classes, rng.integers(1, 30000, len(cells))])
    boundaries = {}
    for name in BOUNDARIES:
        classes = np.unique(rng.integers(num_classes, size=8))
        counts = rng.integers(0, 500, (2, len(classes)))
        boundaries[name] = np.concatenate([classes[None], counts, rng.integers(0, counts + 1)])
    return ImageRecord(f"{index:012d}", ImageCounts(confusion, boundaries), seconds=0.1, time=1.7e9 + index)


def make_run(
    folder,
    images=20,
    num_classes=21,
    pairs=30,
    seed=0,
    recorded=None,
    benchmark="Fake",
    protocol=None,
    notes=(),
    different=None,
):
    """Write a run's description and its records: as many different ones, all by default, which then come again."""
    run = Run(
        benchmark=benchmark,
        classes=[f"class {i}" for i in range(num_classes)],
        boundaries=BOUNDARIES,
        protocol=protocol or {"crop": 224},
        ids=[f"{index:012d}" for index in range(images)],
        split_size=images,
        notes=list(notes),
        sessions=[Session("2026-01-01T00:00:00+00:00", "1 x cpu", {"python": "3.11"})],
    )
    folder.mkdir(parents=True)
    run.save(folder)
    writers = [RecordWriter(folder, 0, rank) for rank in range(2)]
    recorded = images if recorded is None else recorded
    records = [make_record(index, num_classes, pairs, seed) for index in range(min(recorded, different or recorded))]
    for index in range(recorded):
        writers[index % 2].add(replace(records[index % len(records)], id=run.ids[index]))
    for writer in writers:
        writer.close()
    return run
