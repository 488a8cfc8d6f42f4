"""``sclip ablate``: what each part of a configuration gains, in one go."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from sclip_lightning.commands.parsing.configs import find_config
from sclip_lightning.commands.parsing.replaced import check_replaced
from sclip_lightning.commands.test import TestCLI, is_first, run_cli
from sclip_lightning.engine.callbacks import ResultWriter, TensorBoardReport
from sclip_lightning.engine.environment import reset_peak_memory
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import write_text
from sclip_lightning.model.ablation import Row, ablation_rows
from sclip_lightning.model.facts import load_method, method_names
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.reports.comparison import Difference, paired_bootstrap, remark_on
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.side_by_side import SideBySide
from sclip_lightning.reports.tables import render

__all__ = ["AblationCLI", "run_ablate"]

#: Scores of the table.
METRICS = ("mIoU", "bF1@0.75pct", "bF1@3px")


class AblationCLI(TestCLI):
    """Runs ``sclip test`` once a row, each in a folder of its own below ``<name>-ablation``.

    Rows are the parts of the configuration, and then others that are laid over its baseline (``--beside``).

    Rows share the weights, the text embeddings and the decoded images. Each is an ordinary run: it can be resumed,
    reported, compared, and run again from its ``config.yaml``.
    """

    program = "sclip ablate"
    summary = "Test a configuration part by part."

    rows: list[Row]
    row: Row

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Those of a test, and what to show beside the parts."""
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--beside",
            nargs="+",
            default=[],
            metavar="FILE",
            help="Configurations, each of which is laid over the baseline and makes one more row. Only their model "
            "sections count.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Keep the arguments: others are laid over them."""
        self.arguments = list(args)
        super().parse_arguments(parser, args)

    @staticmethod
    def reporting() -> list[Callback]:
        """Each row writes its results; what is printed is the table of all."""
        return [ResultWriter(), TensorBoardReport()]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer for the current row; before the first, the rows are made."""
        if not hasattr(self, "rows"):
            self.options: SegmentorOptions = self.model.options
            self.laid: dict[str, tuple[Any, SegmentorOptions]] = {}
            self.rows = self._all_rows()
            self.row, self.parent = self.rows[0], f"{super().run_name()}-ablation"
        callbacks = self._get(self.config_init, "trainer").get("callbacks") or []
        return super().instantiate_trainer(callbacks=list(callbacks), **kwargs)  # which appends to the list

    def run_name(self) -> str:
        """The row's folder within the ablation's."""
        return f"{self.parent}/{self.row.folder}"

    def test(self) -> None:
        """Run all rows and print the table."""
        first, read = self.model, (self.options.protocol, bool(self.options.region_readers))
        whole = self.config.clone()
        del whole["beside"]  # a row is run again by itself
        self.datamodule.kept = {}
        folders = []
        for number, row in enumerate(self.rows, start=1):
            self.row = row
            if is_first():
                print(f"\n[{number}/{len(self.rows)}] {row.name}", flush=True)  # noqa: T201  progress
            self.config = whole.clone()
            self.config["name"] = self.run_name()
            if row.folder in self.laid:
                self.config["model"], options = self.laid[row.folder]
            else:
                options = row.apply(self.options)
                for option, value in row.changes.items():
                    self.config["model"][option.replace(".", ".init_args.")] = value
            self.model = SegmentationModule(**vars(options))
            if _same(options, self.options, "architecture", "weights"):
                self.model.clip = first.clip
            if _same(options, self.options, "architecture", "weights", "templates", "protocol"):
                self.model.texts = first.texts
            if (options.protocol, bool(options.region_readers)) != read:
                # Images may have another size, or lack a segment map.
                self.datamodule.kept, read = {}, (options.protocol, bool(options.region_readers))
            self.trainer = self.instantiate_trainer()
            reset_peak_memory(self.trainer.strategy.root_device)
            self.evaluate()
            first = self.model if row.folder not in self.laid else first
            for trainer in (whole["trainer"], self._get(self.config_init, "trainer")):
                trainer["precision"] = self.trainer.precision  # the first row has settled it for all
            folders.append(self.model.context.recording.folder)
        if is_first():
            self._report(folders)

    def _all_rows(self) -> list[Row]:
        """The parts, and whatever is to stand beside them; the options of these go into ``laid``."""
        files = self._get(self.config, "beside")
        rows = ablation_rows(self.options, more=bool(files))
        baseline = next(row for row in rows if row.folder == "baseline")
        off = [f"--model.{option}={'null' if value is None else 'false'}" for option, value in baseline.changes.items()]
        for file in files:
            path = find_config(file)
            arguments = [*self.arguments, *off, f"--config={path}"]
            parsed = self.parser.parse_args(arguments)
            check_replaced(arguments)
            row = Row(_title(path.stem), path.stem.replace("_", "-"), {})
            if row.folder in [other.folder for other in rows]:
                msg = f"--beside {file}: the ablation has a row {row.folder} already. Leave it out or rename the file."
                raise ConfigError(msg)
            self.laid[row.folder] = (
                parsed["model"],
                self.parser.instantiate_classes(parsed)["model"].options,
            )
            rows.append(row)
        return rows

    def _report(self, folders: list[Path]) -> None:
        rows, remarks = summarise([row.name for row in self.rows], folders)
        parent, remark = folders[0].parent, "".join(f"\n{remark}\n" for remark in remarks)
        write_text(parent / "ablation.md", f"{render(for_reading(rows), 'markdown')}\n{remark}")
        write_text(parent / "ablation.csv", render(rows, "csv") + "\n")
        write_text(parent / "ablation.json", render(rows, "json") + "\n")
        images = rows[0]["images"]
        print(  # noqa: T201  the table is what the command is for
            f"\n{self.data.benchmark.name}, {images} images\n\n{render(for_reading(rows), 'table')}\n\n"
            "In brackets: the difference to the baseline, and its 95 % interval (paired bootstrap over images).\n"
            f"Peak memory is that of the whole process, with the weights.\n{remark}\nWritten to {parent}"
        )


def summarise(names: Sequence[str], folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """What an ablation found, over the images that all rows have scored.

    Args:
        names: Names of the rows, one of them ``baseline``.
        folders: Folders of their finished runs.

    Returns:
        One entry per row: scores, their difference to the baseline with its interval, speed and memory; and what a
        reader must know.

    Raises:
        RunError: No image was scored in all rows.
    """
    together = SideBySide.load(folders)
    baseline = together.tables[list(names).index("baseline")]
    rows, differences = [], list[Difference]()
    for name, folder, images, table in zip(names, folders, together.records, together.tables, strict=True):
        entry: dict[str, Any] = {"": name, "images": len(together.ids)}
        for difference in paired_bootstrap(baseline, table):
            if difference.metric in METRICS:
                differences.append(difference)
                gain = difference.b - difference.a
                bounds = {"gain": gain, "low": difference.low, "high": difference.high}
                entry[difference.metric] = difference.b
                entry |= {f"{difference.metric} {key}": value for key, value in bounds.items()}
        entry["seconds per image"] = sum(record.seconds for record in images) / len(images)
        entry["peak memory GiB"] = _peak_memory(folder)
        rows.append(entry)
    remark = remark_on(differences)
    return rows, [remark] if remark else []


def for_reading(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with a score, its gain and its interval in one cell, as percent."""
    readable = []
    for row in rows:
        entry = {"": row[""]}
        for metric in METRICS:
            if metric in row:
                gain, low, high = (100 * row[f"{metric} {key}"] for key in ("gain", "low", "high"))
                interval = "" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]"
                gained = "" if row[""] == "baseline" else f" ({gain:+.2f}{interval})"
                entry[metric] = f"{100 * row[metric]:.2f}{gained}"
        entry["s/image"] = f"{row['seconds per image']:.3f}"
        entry["peak GiB"] = f"{row['peak memory GiB']:.2f}"
        readable.append(entry)
    return readable


def run_ablate(arguments: Sequence[str]) -> None:
    """Run ``sclip ablate`` with the given arguments, those of ``sclip test``."""
    run_cli(AblationCLI, arguments)


def _same(a: SegmentorOptions, b: SegmentorOptions, *names: str) -> bool:
    return all(getattr(a, name) == getattr(b, name) for name in names)


def _title(stem: str) -> str:
    """What a row is called that a file makes: the method's name where the file is named after one."""
    return load_method(stem).name if stem in method_names() else stem.replace("_", " ")


def _peak_memory(folder: Path) -> float:
    results = Results.load(folder)
    assert results is not None
    return float(results.performance["peak memory GiB"])
