"""Headers of files are read once for all processes, and only of images that are still to be segmented."""

from types import SimpleNamespace

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading import layout
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.session_start import remaining_images
from sclip_lightning.errors import DataError
from tests.fake_data import write_voc

IMAGES = 4


@pytest.fixture
def read(monkeypatch):
    """Paths of the images whose headers were read."""
    paths, image_size = [], layout.image_size
    monkeypatch.setattr(layout, "image_size", lambda path: paths.append(path.stem) or image_size(path))
    return paths


@pytest.fixture
def test(tiny_clip, tmp_path):
    root = write_voc(tmp_path / "data", IMAGES)
    module = SegmentationModule(architecture=tiny_clip, templates="none", crop=48, stride=32)

    def run(**options):
        trainer = Trainer(
            accelerator="cpu",
            logger=CSVLogger(tmp_path, name="", version="a"),
            enable_progress_bar=False,
            enable_checkpointing=False,
        )
        data = VOC21(str(root), short_side=32, num_workers=0, **options)
        trainer.test(module, SegmentationDataModule(data), verbose=False)
        return module

    return run


def test_images_with_records_are_not_looked_at_again(test, read):
    test(num_samples=3)
    assert sorted(read) == [f"2007_00000{i}" for i in range(3)]
    read.clear()
    test()
    assert read == ["2007_000003"]
    read.clear()
    test()
    assert read == []


def test_nor_are_those_that_may_be_skipped(test, read):
    test(on_error="skip")
    assert read == []


def test_a_bad_header_ends_the_run_before_its_first_image(test, tmp_path):
    Image.new("L", (5, 5)).save(tmp_path / "data/VOCdevkit/VOC2012/SegmentationClass/2007_000003.png")
    with pytest.raises(DataError, match=r"2007_000003\.png has 5 x 5 pixels"):
        test()
    assert not list((tmp_path / "a").rglob("*.jsonl"))


class Ranks:
    """Two processes, of which this is one; what the first finds is handed on."""

    def __init__(self, is_first, answer=None):
        self.is_first, self.answer = is_first, answer

    def on_first(self, function):
        if self.is_first:
            self.answer = function()
        return self.answer


def test_the_first_process_looks_for_all(tmp_path, read):
    data = VOC21(str(write_voc(tmp_path, IMAGES)), short_side=32, num_workers=0)
    data.setup(check=False)
    assert read == []
    ids = [files.id for files in data.dataset.files]
    context = SimpleNamespace(
        ids=ids, recording=SimpleNamespace(finished=lambda: {ids[0]}), lacking=[], ranks=Ranks(is_first=True)
    )
    assert remaining_images(context, data) == [1, 2, 3]
    assert sorted(read) == ids[1:]
    read.clear()
    context.ranks = Ranks(is_first=False, answer=[1, 2, 3])
    assert remaining_images(context, data) == [1, 2, 3]
    assert read == []


def test_what_the_first_process_finds_wrong_ends_all(tmp_path):
    data = VOC21(str(write_voc(tmp_path, IMAGES)), short_side=32, num_workers=0)
    data.setup(check=False)
    data.dataset.files[2].image.write_text("no image")
    ids = [files.id for files in data.dataset.files]
    first = Ranks(is_first=True)
    for ranks in (first, Ranks(is_first=False)):
        ranks.answer = first.answer
        context = SimpleNamespace(ids=ids, recording=SimpleNamespace(finished=set), lacking=[], ranks=ranks)
        with pytest.raises(DataError, match=r"2007_000002\.jpg cannot be read"):
            remaining_images(context, data)
