"""``sclip score``: score label maps that any method wrote."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import torch
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.configs import resolve_arguments
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.data.reading.fingerprints import labels_checksum, stamp
from sclip_lightning.data.reading.layout import expand, list_files
from sclip_lightning.data.reading.masks import LabelMap, read_mask
from sclip_lightning.data.reading.regions import unread_maps
from sclip_lightning.engine.environment import describe_environment, peak_memory
from sclip_lightning.engine.evaluation import Evaluation, check_agreement, notes_on
from sclip_lightning.errors import DataError, counted
from sclip_lightning.records import ImageRecord, Records, RecordWriter
from sclip_lightning.records.run import Run, Session
from sclip_lightning.records.run_folder import check_place, new_run_folder
from sclip_lightning.reports.results import results_of
from sclip_lightning.reports.tensorboard import write_results

__all__ = ["run_score", "score_predictions"]

Missing = Literal["stop", "skip"]


def run_score(arguments: Sequence[str]) -> None:
    """Run ``sclip score`` with the given arguments."""
    parser = GuardedParser(prog="sclip score", description="Score label maps that any method wrote.", epilog=ALLOW_HELP)
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="A configuration with a data section.")
    parser.add_argument(
        "--predictions",
        type=str,
        required=True,
        help="Folder with one PNG per image, <image id>.png, that stores class indices (0..C-1; palette or grey, of "
        "2 to 32 bit) at the size of the ground truth.",
    )
    parser.add_subclass_arguments(SegmentationData, "data", required=True)
    parser.add_argument(
        "--missing",
        type=Missing,
        default="stop",
        help="What to do about images without a prediction: stop, or score the others and say so.",
    )
    parser.add_argument("--name", type=str, default="score", help="Name of the run's folder.")
    parser.add_argument("--output_dir", type=str, default="lightning_logs", help="Runs land in OUTPUT_DIR/<benchmark>.")
    options = parser.parse_args(resolve_arguments(allow_imports(arguments)))
    data = parser.instantiate_classes(options).data
    place = options.output_dir, data.benchmark.name, options.name
    check_place(*place)
    run, records, performance = score_predictions(data, options.predictions, options.missing)
    folder = new_run_folder(*place)
    writer = RecordWriter(folder, session=0, rank=0)
    for record in records.images:
        writer.add(record)
    writer.close()
    run.save(folder)
    results = results_of(run, records, performance)
    results.save(folder)
    with SummaryWriter(str(folder)) as writer:
        write_results(writer, results, records.of(run.ids).images)
    print(f"\n{results.table()}\n\nWritten to {folder}")  # noqa: T201  the table is what the command is for


def score_predictions(
    data: SegmentationData, predictions: str, missing: Missing = "stop"
) -> tuple[Run, Records, dict[str, Any]]:
    """Score a folder of label maps against a benchmark.

    Args:
        data: The benchmark; only its ground truth is read.
        predictions: Folder with ``<image id>.png`` per image: class indices 0..C-1 at the size of the ground truth.
        missing: What to do about images without a prediction: ``stop``, or ``skip`` them and say so in the results.

    Returns:
        What was scored, the records of the images, and speed and memory.

    Raises:
        DataError: No or missing predictions, another size than the ground truth, colours instead of indices, an index
            that is no class.
    """
    data.setup()
    dataset, benchmark = data.dataset, data.benchmark
    folder = expand(predictions)
    if not folder.is_dir():
        msg = f"There is no folder {folder} (--predictions). Give the folder that holds the label maps."
        raise DataError(msg)
    found = list_files(folder, ".png")
    indices = [index for index, files in enumerate(dataset.files) if files.id in found]
    absent = [files.id for files in dataset.files if files.id not in found]
    if not indices or (absent and missing == "stop"):
        msg = (
            f"{folder} has no prediction for {len(absent)} of the {len(dataset)} images: {', '.join(absent[:3])}"
            f"{', ...' if len(absent) > 3 else ''}. Expected <image id>.png, such as {dataset.files[0].id}.png. Write "
            "them, or score only the images that have one with --missing skip."
        )
        raise DataError(msg)

    evaluation = Evaluation(benchmark)
    label_map = LabelMap({label: label for label in range(len(benchmark.classes))})
    records = []
    began, started = datetime.now().astimezone(), time.perf_counter()
    for index in tqdm(indices, "Scoring", unit="image"):
        image_started, id_ = time.perf_counter(), dataset.files[index].id
        path = found[id_]
        prediction = label_map(read_mask(path), path)
        target = dataset.target(index)
        if prediction.shape != target.shape:
            msg = (
                f"The prediction {path} has {prediction.shape[0]} x {prediction.shape[1]} pixels (height x width), the "
                f"ground truth {target.shape[0]} x {target.shape[1]}. Resize predictions to the images' own size."
            )
            raise DataError(msg)
        counts = evaluation.update(torch.from_numpy(prediction), torch.from_numpy(target))
        seen = {"image": "", "labels": labels_checksum(target), "stamp": stamp(dataset.files[index])}
        seconds = time.perf_counter() - image_started
        records.append(ImageRecord(id_, counts, seconds, time.time(), fingerprint=seen))
    seconds = time.perf_counter() - started
    check_agreement(records, benchmark.classes, evaluation.compute())

    notes = [*notes_on(benchmark), *[unread_maps("--data.regions")] * (data.maps is not None)]
    if absent:
        notes.append(f"Incomplete: {counted(len(absent), 'image has', 'images have')} no prediction, and no score.")
    device = torch.device("cpu")
    run = Run(
        benchmark=benchmark.name,
        classes=list(benchmark.classes),
        boundaries=evaluation.boundary_names,
        protocol={**data.describe_data(), "predictions": str(folder.absolute())},
        ids=[record.id for record in records],
        split_size=data.split_size,
        notes=notes,
        sessions=[Session(began.isoformat(timespec="seconds"), "1 x cpu", describe_environment(device))],
    )
    performance = {"images per second": len(indices) / seconds, "seconds": seconds}
    return run, Records(records, []), performance | {"peak memory GiB": peak_memory(device) / 2**30}
