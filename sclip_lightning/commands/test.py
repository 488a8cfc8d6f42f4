"""``sclip test``: evaluate on a benchmark, driven by LightningCLI."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from sclip_lightning.commands.failures import explain
from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.configs import METHOD_HELP, expand_method, origin_of_data, resolve_arguments
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.commands.parsing.kept import keep, take
from sclip_lightning.commands.parsing.parts import DEFAULTS
from sclip_lightning.commands.parsing.replaced import check_replaced
from sclip_lightning.engine.callbacks import (
    Announcer,
    ConfigWriter,
    PredictionWriter,
    RankedPanels,
    ResultWriter,
    SamplePanels,
    TensorBoardReport,
)
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.orderly_end import orderly_end
from sclip_lightning.engine.precision import EvaluationTrainer
from sclip_lightning.engine.ranks import TIMEOUT
from sclip_lightning.errors import ConfigError, DataError, SclipError
from sclip_lightning.records import load_records
from sclip_lightning.records.artefacts import PANELS, RANKED_PANELS
from sclip_lightning.records.run import Run
from sclip_lightning.records.run_folder import locked, open_run_folder, run_folder, tidy

__all__ = ["TestCLI", "is_first", "run_cli", "run_test"]


class _Parser(GuardedParser, LightningArgumentParser):
    """Lightning's parser, guarded; ``--data`` names what is read, around which comes Lightning's data module."""

    def add_lightning_class_args(
        self, lightning_class: Any, nested_key: str, subclass_mode: bool = False, required: bool = True
    ) -> list[str]:
        """Add the options of a class, which for data is none of Lightning's."""
        if lightning_class is not SegmentationData:
            return super().add_lightning_class_args(lightning_class, nested_key, subclass_mode, required)
        self.add_subclass_arguments(SegmentationData, nested_key, fail_untyped=False, required=required)
        return []


class TestCLI(LightningCLI):
    """LightningCLI for a test, with a run folder of its own.

    The command is not one of LightningCLI's subcommands: with these the parser goes through all options once more, for
    a parser around the one that has them.
    """

    #: What the help calls the command, and says of it.
    program = "sclip test"
    summary = "Segment a benchmark and score the result."

    def setup_parser(self, *args: Any) -> None:
        """Make the parser, unless an earlier command of this process has left it."""

        def make() -> LightningArgumentParser:
            super(TestCLI, self).setup_parser(*args)
            return self.parser

        self.parser = take(type(self), make)

    @staticmethod
    def reporting() -> list[Callback]:
        """What reports on the run, in this order."""
        return [ResultWriter(), Announcer(), TensorBoardReport()]

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options that belong to the run rather than to a part."""
        parser.add_argument(
            "--name", type=str | None, help="Name of the run's folder; the names of the configurations by default."
        )
        parser.add_argument(
            "--output_dir", type=str, default="lightning_logs", help="Runs land in OUTPUT_DIR/<benchmark>/<name>."
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="Insist that there is a run to go on with. A run whose folder is there goes on in any case: only "
            "images without a record are segmented, and a finished run only reports. Devices, batch size and workers "
            "may change, and num_samples may grow; whatever else the scores depend on may not.",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="Delete the run that the folder holds and start afresh."
        )
        parser.add_lightning_class_args(SamplePanels, "panels")
        parser.add_lightning_class_args(RankedPanels, "ranked_panels")
        parser.add_lightning_class_args(PredictionWriter, "predictions")
        parser.add_argument("--save_vis", action="store_true", help="Short for --predictions.overlays true.")
        parser.set_defaults({"data": {"class_path": "sclip_lightning.data.COCOStuff"}, **DEFAULTS})
        parser.epilog = f"{METHOD_HELP} {ALLOW_HELP}"

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse without Lightning's warning that arguments were passed while the process has some, too."""
        self.data_origin = origin_of_data(args)
        self.config = parser.parse_args(args)
        keep(type(self), parser)
        check_replaced(args)

    def before_instantiate_classes(self) -> None:
        """Spell out what is short for something else."""
        if self._get(self.config, "save_vis"):
            self._get(self.config, "predictions").overlays = True

    def instantiate_classes(self) -> None:
        """Make the parts, and give Lightning the data in its own kind of module."""
        super().instantiate_classes()
        self.datamodule = SegmentationDataModule(self.data)

    @property
    def data(self) -> SegmentationData:
        """What is read."""
        data: SegmentationData = self._get(self.config_init, "data")
        return data

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer its logger; only now is the name of the benchmark known."""
        self._find_data()
        given = self._get(self.config_init, "trainer")
        self.folder: Path | None = None
        self.started = getattr(self, "started", [])  # kept from trainer to trainer: only the first one starts any
        if given.get("logger") is None:
            self.folder = self._open_folder()
            kwargs["logger"] = TensorBoardLogger(
                self.folder.parent.parent,
                name=self.folder.parent.name,
                version=self.folder.name,
                default_hp_metric=False,
            )
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, TypeError, ValueError) as error:
            if isinstance(error.__cause__, SclipError):
                raise error.__cause__ from None
            chosen = ", ".join(f"--trainer.{name} {given.get(name)}" for name in ("accelerator", "devices", "strategy"))
            msg = (
                f"No trainer can be made of these options ({chosen}): {' '.join(str(error).split())} Give others; "
                "sclip test --help.all lists all options."
            )
            raise ConfigError(msg) from error
        # Lightning puts the callbacks that have options first; results come before whatever draws.
        trainer.callbacks.sort(key=lambda callback: not isinstance(callback, ResultWriter | Announcer))  # type: ignore[attr-defined]
        if isinstance(trainer.strategy, DDPStrategy) and isinstance(given.get("strategy"), str):
            trainer.strategy._timeout = TIMEOUT
        return trainer

    def test(self) -> None:
        """Run the test, in which the table is printed, and say how to look at what it left."""
        self.evaluate()
        folder = self.model.context.folder
        if is_first() and folder is not None:
            pictures = [str(folder / name) for name in (PANELS, RANKED_PANELS) if (folder / name).is_dir()]
            seen = f"Pictures are in {' and '.join(pictures)}. " if pictures else ""
            place = folder.parent.parent
            print(f"{seen}To look at all runs: tensorboard --logdir {place}")  # noqa: T201  what the command is for

    def evaluate(self) -> None:
        """Run the test; whatever ends it early ends all processes and says what there is to go on with."""
        first = is_first()
        with (
            self.model.stop.listen(first, self.trainer.strategy.launcher, self.started),
            orderly_end(self.model.stop, lambda error: explain(error, self.model.options), self._progress),
            locked(self.folder) if first and self.folder else nullcontext(),
        ):
            if first and self.folder:
                tidy(self.folder, self._get(self.config, "overwrite"))
            self.trainer.test(self.model, self.datamodule, verbose=False)

    def _progress(self) -> str:
        """What there is to go on with, in words."""
        run = Run.load(self.folder) if self.folder else None
        if run is None or self.folder is None:
            return "Nothing is kept: no image was finished, or there is no logger."
        done = len(load_records(self.folder).of(run.ids).images)
        are = "is" if done == 1 else "are"
        return f"{done} of {len(run.ids)} images {are} recorded in {self.folder}: the same command goes on from there."

    def _find_data(self) -> None:
        """Find images, and segment maps, before anything is written: a command without data leaves nothing behind."""
        try:
            self.data.find()
        except DataError as error:
            error.hints = (
                f"The benchmark is {self.data.benchmark.name}, {self.data_origin}; --data NAME takes another.",
                "docs/datasets.md says where each benchmark's files come from and how its folder looks; sclip test "
                "--config demo.yaml needs none.",
            )
            raise
        self.data.maps_for(self.model.options.region_readers)

    def _open_folder(self) -> Path:
        """Open the run's folder, on the first process; what it holds is cleared once it is locked."""
        resume, overwrite = self._get(self.config, "resume"), self._get(self.config, "overwrite")
        output_dir, benchmark, name = (
            self._get(self.config, "output_dir"),
            self.data.benchmark.name,
            self.run_name(),
        )
        if is_first():
            return open_run_folder(output_dir, benchmark, name, resume, overwrite)
        return run_folder(output_dir, benchmark, name)

    def run_name(self) -> str:
        """The name given, else one made of the names of the configurations."""
        name = self._get(self.config, "name")
        if name:
            return str(name)
        files = [Path(str(path)) for path in self._get(self.config, "config") or []]
        stems = [file.stem for file in files if file.parent.name != "data"]
        decoder = self.model.options.decoder
        attention = getattr(decoder, "attention", None)
        return "-".join(dict.fromkeys(stems)) or (attention if isinstance(attention, str) else type(decoder).__name__)


def is_first() -> bool:
    """Whether this process has rank 0, before Lightning has set anything up."""
    return int(rank_zero_only.rank) == 0  # type: ignore[attr-defined]


def run_test(arguments: Sequence[str]) -> None:
    """Run ``sclip test`` with the given arguments."""
    run_cli(TestCLI, arguments)


def run_cli(cli: type[TestCLI], arguments: Sequence[str]) -> None:
    """Run a command that takes the arguments of ``sclip test``."""
    for name in ("lightning.pytorch", "lightning.fabric"):  # seed, hardware and tips: the table has what matters
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 still asks torch 2.15 for what it calls LeafSpec; nothing a user could act on.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    command = cli(
        SegmentationModule,
        SegmentationData,  # type: ignore[arg-type]  # see _Parser
        trainer_class=EvaluationTrainer,
        subclass_mode_data=True,
        save_config_callback=ConfigWriter,
        trainer_defaults={
            "callbacks": cli.reporting(),
            "enable_checkpointing": False,
            "enable_model_summary": False,
        },
        seed_everything_default=0,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        parser_class=_Parser,
        parser_kwargs={"prog": cli.program, "description": cli.summary},
        args=resolve_arguments(expand_method(allow_imports(arguments))),
        run=False,
    )
    command.test()
