"""``sclip test``: evaluate on a benchmark, driven by LightningCLI."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from sclip_lightning import __version__
from sclip_lightning.callbacks import ConfigWriter, RankedPanels, ResultWriter, SamplePanels, TensorBoardReport
from sclip_lightning.configs import resolve_arguments
from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.module import SegmentationModule
from sclip_lightning.run_folder import new_run_folder

__all__ = ["TestCLI", "run_test"]


class TestCLI(LightningCLI):
    """LightningCLI with the ``test`` subcommand alone and a run folder of its own."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only ``test``; the arguments listed are set here or have no meaning without training."""
        return {"test": {"model", "dataloaders", "datamodule", "ckpt_path", "verbose", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options that belong to the run rather than to a part."""
        parser.add_argument(
            "--name", type=str | None, help="Name of the run's folder; the names of the configurations by default."
        )
        parser.add_argument(
            "--output_dir", type=str, default="lightning_logs", help="Runs land in OUTPUT_DIR/<benchmark>/<name>."
        )
        parser.add_lightning_class_args(SamplePanels, "panels")
        parser.add_lightning_class_args(RankedPanels, "ranked_panels")
        parser.link_arguments("model.protocol", "data.init_args.protocol")
        parser.set_defaults({"data": {"class_path": "sclip_lightning.data.COCOStuff"}})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse without Lightning's warning that arguments were passed while the process has some, too."""
        self.config = parser.parse_args(args)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer its logger; only now is the name of the benchmark known."""
        if self._get(self.config_init, "trainer").get("logger") is None:
            output_dir = self._get(self.config, "output_dir")
            folder = new_run_folder(output_dir, self.datamodule.benchmark.name, self._run_name())
            kwargs["logger"] = TensorBoardLogger(
                folder.parent.parent, name=folder.parent.name, version=folder.name, default_hp_metric=False
            )
        return super().instantiate_trainer(**kwargs)

    def test(self, **kwargs: Any) -> None:
        """Run the test and print a table that, unlike Lightning's own, names the protocol."""
        self.trainer.test(verbose=False, **kwargs)
        folder = self.trainer.log_dir if self.trainer.logger else None
        if self.trainer.is_global_zero:
            written = f"\n\nWritten to {folder}" if folder else ""
            print(f"\n{self.model.results.table()}{written}")  # noqa: T201  the table is what the command is for

    def _run_name(self) -> str:
        name = self._get(self.config, "name")
        if name:
            return str(name)
        files = [Path(str(path)) for path in self._get(self.config, "config") or []]
        stems = [file.stem for file in files if file.parent.name != "data"]
        return "-".join(dict.fromkeys(stems)) or str(self._get(self.config, "model")["attention"])


def run_test(arguments: Sequence[str]) -> None:
    """Run ``sclip test`` with the given arguments."""
    for name in ("lightning.pytorch", "lightning.fabric"):  # seed, hardware and tips: the table has what matters
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 still asks torch 2.15 for what it calls LeafSpec; nothing a user could act on.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    TestCLI(
        SegmentationModule,
        SegmentationDataModule,
        subclass_mode_data=True,
        save_config_callback=ConfigWriter,
        trainer_defaults={
            "callbacks": [TensorBoardReport(), ResultWriter()],
            "enable_checkpointing": False,
            "enable_model_summary": False,
        },
        seed_everything_default=0,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        parser_kwargs={"prog": "sclip", "version": __version__},
        args=["test", *resolve_arguments(arguments)],
    )
