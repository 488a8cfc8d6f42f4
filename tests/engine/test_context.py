"""The one object through which callbacks see a run."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from sclip_lightning.data import VOC21
from sclip_lightning.engine.callbacks import PredictionWriter, ResultWriter
from sclip_lightning.engine.context import run_context
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.precision import EvaluationTrainer
from sclip_lightning.errors import ConfigError, DataError
from tests.fake_data import write_voc


class Watcher(Callback):
    """Keeps what it is shown of a run."""

    def __init__(self, probabilities=False):
        self.probabilities = probabilities
        self.contexts, self.outputs, self.places = [], {}, []

    def setup(self, trainer, pl_module, stage):
        context = run_context(pl_module)
        self.contexts.append(context)
        context.probabilities_wanted |= self.probabilities
        self.places.append(context.recording.folder)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        assert run_context(pl_module) is self.contexts[-1]
        assert self.places[-1].is_dir()
        self.outputs |= outputs

    def on_test_end(self, trainer, pl_module):
        context = run_context(pl_module)
        self.again = {sample["id"]: context.segment(sample) for sample in context.dataset}


@pytest.fixture
def test(tiny_clip, tmp_path):
    """Runs a test with some callbacks, in Python."""
    root = write_voc(tmp_path / "data", 2)
    module = SegmentationModule(architecture=tiny_clip, templates="none", crop=48, stride=32)

    def run(*callbacks, data=None, trainer=Trainer, **options):
        trainer = trainer(
            accelerator="cpu",
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_checkpointing=False,
            **{"logger": False} | options,
        )
        data = data or SegmentationDataModule(VOC21(str(root), short_side=64, num_workers=0))
        trainer.test(module, data, verbose=False)
        return module

    return run


def test_a_run_without_a_logger_has_no_folder(test):
    watcher = Watcher()
    module = test(watcher, ResultWriter())
    (context,) = watcher.contexts
    assert context is module.context
    assert (context.folder, context.is_first, context.reported_before) == (None, True, False)
    assert context.benchmark.name == "VOC21"
    assert context.ids == list(watcher.outputs)
    assert context.results.protocol["images"] == "2 of 2"
    assert not watcher.places[0].exists()  # the records lay in a temporary folder


def test_a_logger_gives_the_run_its_folder(test, tmp_path):
    logger = CSVLogger(tmp_path / "runs", name="", version="a")
    watcher = Watcher()
    test(watcher, ResultWriter(), logger=logger)
    assert watcher.contexts[0].folder == tmp_path / "runs/a" == watcher.places[0]
    assert (tmp_path / "runs/a/results.json").is_file()


def test_each_test_of_a_module_is_a_run_of_its_own(test):
    watcher = Watcher()
    test(watcher)
    test(watcher)
    first, second = watcher.contexts
    assert first is not second
    assert watcher.places[0] != watcher.places[1]
    assert first.results.metrics == second.results.metrics


def test_what_an_earlier_session_reported_is_known(test, tmp_path):
    watcher = Watcher()
    for _ in range(2):
        test(watcher, ResultWriter(), logger=CSVLogger(tmp_path, name="", version="a"))
    assert [context.reported_before for context in watcher.contexts] == [False, True]
    first, second = (context.results for context in watcher.contexts)
    assert (first.metrics, first.performance) == (second.metrics, second.performance)


@pytest.mark.parametrize("wanted", [False, True])
def test_probabilities_are_made_where_they_are_wanted(test, wanted):
    watcher = Watcher(wanted)
    test(watcher)
    assert len(watcher.outputs) == 2
    for output in watcher.outputs.values():
        assert (output.probabilities is not None) == wanted
        if output.probabilities is not None:
            assert output.probabilities.shape == (21, *output.labels.shape)


def test_what_fails_behind_the_network_ends_the_run(test, monkeypatch):
    def refuse(*_):
        raise DataError("The ground truth is of another table.")

    monkeypatch.setattr(Evaluation, "update", refuse)
    watcher = Watcher()
    with pytest.raises(DataError, match=r"of another table\. .*--data.on_error skip"):
        test(watcher)
    assert watcher.contexts[0].recording.added == 0


def test_callbacks_see_each_image_once_it_is_recorded(test):
    class Keeper(Callback):
        def setup(self, trainer, pl_module, stage):
            self.context, self.seen = run_context(pl_module), []
            self.context.each_image.append(self.keep)

        def keep(self, sample, output, counts):
            assert output.labels.shape == sample["mask"].shape
            assert counts.confusion[2].sum() == (sample["mask"] != 255).sum()
            self.seen.append((sample["id"], self.context.recording.added))

    keeper = Keeper()
    module = test(keeper)
    assert keeper.seen == [(id_, number) for number, id_ in enumerate(module.context.ids, 1)]


def test_an_image_segmented_again_has_the_same_labels_and_is_not_counted(test):
    watcher = Watcher()
    module = test(watcher)
    for id_, output in watcher.outputs.items():
        assert torch.equal(watcher.again[id_], output.labels)
    assert module.context.recording.added == 2


def test_a_file_that_is_lacking_makes_an_image_unfinished(test, tmp_path):
    def folder():
        return CSVLogger(tmp_path, name="", version="a")

    module = test(PredictionWriter(labels=True), logger=folder())
    assert module.context.recording.added == 2
    next((tmp_path / "a/labels").iterdir()).unlink()
    assert test(PredictionWriter(labels=True), logger=folder()).context.recording.added == 1
    assert test(PredictionWriter(labels=True), logger=folder()).context.recording.added == 0


def test_two_images_of_one_id_are_refused(test, tmp_path):
    class Twice(VOC21):
        def setup(self, check=True):
            super().setup(check)
            self.dataset.files = [self.dataset.files[0]] * 2

    with pytest.raises(DataError, match=r"several images of one id, 2007_000000"):
        test(data=SegmentationDataModule(Twice(str(tmp_path / "data"), short_side=64, num_workers=0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16-true"}, "--trainer.precision bf16-true"),
        ({"limit_test_batches": 1}, "--trainer.limit_test_batches 1"),
    ],
)
def test_trainers_that_change_scores_are_refused(test, options, message):
    with pytest.raises(ConfigError, match=message):
        test(**options)


@pytest.mark.slow
def test_precision_fits_the_machine_and_stays_that_of_the_run(test, tmp_path, monkeypatch, capsys):
    def run(native, *callbacks, version="a"):
        monkeypatch.setattr("sclip_lightning.model.devices.computes_bfloat16", lambda device: native)
        logger = CSVLogger(tmp_path, name="", version=version)
        return test(*callbacks, trainer=EvaluationTrainer, logger=logger, precision="auto")

    watcher = Watcher()
    module = run(True, watcher)
    assert module.trainer.precision == "bf16-mixed"
    assert "Precision: bf16-mixed, since this CPU computes in bfloat16" in capsys.readouterr().out
    alone = Watcher()
    test(alone, precision="bf16-mixed")
    assert all(output.labels.equal(alone.outputs[id_].labels) for id_, output in watcher.outputs.items())
    assert run(False).trainer.precision == "bf16-mixed"
    assert "goes on as it was; by itself this CPU would take 32-true" in capsys.readouterr().out
    assert run(False, version="b").trainer.precision == "32-true"
    run_file = tmp_path / "a/run.json"
    run_file.write_text(run_file.read_text().replace("bf16-mixed", "16-mixed"))
    with pytest.raises(ConfigError, match="computed in 16-mixed, which this CPU cannot do"):
        run(True)


def test_other_modules_have_no_context():
    with pytest.raises(ConfigError, match="runs LightningModule, but expect a SegmentationModule"):
        run_context(LightningModule())


@pytest.mark.parametrize("data", [[[1]], VOC21()])
def test_other_data_is_refused(test, data):
    with pytest.raises(ConfigError, match=r"a benchmark's data module.*SegmentationDataModule\(VOC21"):
        test(data=data)
