"""``sclip vocabularies``: one method under several class files, with the images' features computed once."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.test import TestCLI, is_first, run_cli
from sclip_lightning.data.reading.class_files import named_class_files
from sclip_lightning.engine.callbacks import Followers, RankedPanels, ResultWriter, SamplePanels, TensorBoardReport
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.follower import Follower
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import write_text
from sclip_lightning.records.run_folder import locked, tidy
from sclip_lightning.reports.side_by_side import SideBySide
from sclip_lightning.reports.tables import render
from sclip_lightning.reports.vocabularies import class_rows, largest_changes, score_rows

__all__ = ["VocabulariesCLI", "run_vocabularies"]

#: Classes of the table that is printed.
SHOWN = 10


class VocabulariesCLI(TestCLI):
    """Runs ``sclip test`` once a class file, each in a folder of its own below ``<name>-vocabularies``.

    The first leads: while it segments an image, the others score it, too, from the same features. They are then run
    by themselves, which finds every image scored and reports only.
    """

    program = "sclip vocabularies"
    summary = "Test a method under several class files."

    class_files: dict[str, str | list[str] | None]
    #: The class file whose run is made now.
    current: str

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Those of a test, and the class files."""
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--class_files",
            nargs="+",
            type=str,
            default=[],
            metavar="FILE",
            help="Class files, the first of which the others are compared with: published, plain (the data set's own "
            "names), distractors (these with 64 words for scenes in the background), paths, or names of shipped "
            "files. By default those words that there is a file for.",
        )

    @staticmethod
    def reporting() -> list[Callback]:
        """Each run writes its results; what is printed is the table of all."""
        return [ResultWriter(), TensorBoardReport()]

    @property
    def data(self) -> SegmentationData:
        """What is read, under the current names."""
        return self._datas[self.current] if hasattr(self, "_datas") else super().data

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer for the current run; before the first, the class files are found."""
        if not hasattr(self, "class_files"):
            data = super().data
            self.class_files = named_class_files(data, self._get(self.config, "class_files"))
            self._datas = {name: data.renamed(classes) for name, classes in self.class_files.items()}
            self.current, self.parent = next(iter(self.class_files)), f"{super().run_name()}-vocabularies"
            self._describe_run()
        callbacks = self._get(self.config_init, "trainer").get("callbacks") or []
        return super().instantiate_trainer(callbacks=list(callbacks), **kwargs)  # which appends to the list

    def run_name(self) -> str:
        """The folder of the current run within that of all."""
        return f"{self.parent}/{self.current}"

    def test(self) -> None:
        """Run the first with the others beside it, then report on each of these, and print the tables."""
        if self.folder is None:
            msg = "Each class file has a folder of its own, which --trainer.logger would replace. Leave it out."
            raise ConfigError(msg)
        first, others = self.model, list(self.class_files)[1:]
        parent = self.folder.parent
        followers = {}
        with ExitStack() as stack:
            for name in others:
                self.current = name
                folder = self._open_folder()
                if is_first():
                    stack.enter_context(locked(folder))
                    tidy(folder, self._get(self.config, "overwrite"))
                followers[name] = Follower(folder, self.class_files[name])
            self.current = next(iter(self.class_files))
            self.trainer.callbacks.append(Followers(list(followers.values())))  # type: ignore[attr-defined]
            self.evaluate()
        self.config["overwrite"] = False  # what has just been computed
        for name in others:
            self.current = name
            self._describe_run()
            self.model = SegmentationModule(**vars(first.options))
            self.model.clip, self.model.texts = first.clip, followers[name].texts
            self.datamodule = SegmentationDataModule(self.data)
            self.trainer = self.instantiate_trainer()
            pictures = (SamplePanels, RankedPanels)  # which would segment images again
            self.trainer.callbacks = [one for one in self.trainer.callbacks if not isinstance(one, pictures)]  # type: ignore[attr-defined]
            self.evaluate()
        if is_first():
            self._report(parent)

    def _describe_run(self) -> None:
        """Make the configuration that of the current run by itself, as ``sclip test`` takes it."""
        config = self.config = self.config.clone()
        config.pop("class_files", None)
        config["name"] = self.run_name()
        config["data"]["init_args"]["classes"] = self.class_files[self.current]

    def _report(self, parent: Path) -> None:
        names = list(self.class_files)
        together = SideBySide.load([parent / name for name in names])
        rows, remarks = score_rows(names, together)
        classes = class_rows(names, together, [data.benchmark.synonyms for data in self._datas.values()])
        changed = largest_changes(names, classes, SHOWN)
        notes = [
            f"Differences to {names[0]} in percentage points, with their 95 % interval (paired bootstrap over images).",
            *remarks,
        ]
        write_text(parent / "vocabularies.md", "\n\n".join([render(rows, "markdown"), *notes]) + "\n")
        write_text(parent / "vocabularies.csv", render(rows, "csv") + "\n")
        write_text(parent / "vocabularies.json", render(rows, "json") + "\n")
        write_text(parent / "classes.csv", render(classes, "csv") + "\n")
        table = render(changed, "table") if changed else "No class changed."
        print(  # noqa: T201  the tables are what the command is for
            f"\n{self.data.benchmark.name}, {len(together.ids)} images\n\n{render(rows, 'table')}\n\n"
            + "\n".join(notes)
            + f"\n\nClasses whose IoU changed most, with the change from {names[0]}\n\n{table}\n\nWritten to {parent}"
        )


def run_vocabularies(arguments: Sequence[str]) -> None:
    """Run ``sclip vocabularies`` with the given arguments, those of ``sclip test`` and the class files."""
    run_cli(VocabulariesCLI, arguments)
