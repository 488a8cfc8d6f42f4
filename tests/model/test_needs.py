"""An image that there surely is too little memory for is refused before anything of it is computed."""

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.cli import main
from sclip_lightning.decoding import LastBlock
from sclip_lightning.errors import DataError
from sclip_lightning.model import needs
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import PAMR, Bilateral, DenseCRF, LPOSSPlus
from sclip_lightning.vocabulary import Vocabulary
from tests.fake_data import write_voc

CPU = torch.device("cpu")
GROWING = {
    "PAMR": {"refiners": [PAMR()]},
    "DenseCRF": {"refiners": [DenseCRF()]},
    "Bilateral": {"refiners": [Bilateral()]},
    "LPOSSPlus": {"refiners": [LPOSSPlus()]},
    "SemanticFeedback": {"decoder": LastBlock("sclip", sfr=True)},
}


def settings_of(**options):
    return resolve(SegmentorOptions(weights=None, **options), Vocabulary.parse("cat, dog"))


@pytest.fixture
def little(monkeypatch):
    """A machine with 1 MiB left."""
    monkeypatch.setattr(needs, "LITTLE", 0)
    monkeypatch.setattr(needs, "free_memory", lambda device: 2**20)


@pytest.mark.parametrize("part", GROWING)
def test_needs_grow_at_most_linearly(part):
    settings = settings_of(**GROWING[part])
    name, few = needs.needed_memory((400, 600), (100, 100), settings)
    assert name == part
    assert needs.needed_memory((400, 600), (200, 200), settings)[1] <= 2 * few
    assert needs.needed_memory((800, 600), (100, 100), settings)[1] <= 2 * few
    assert needs.grows((100, 100), settings)


def test_maps_of_photographs_are_bounded_in_memory_too():
    needed = [
        needs.needed_memory((3024, 4032), (5, 5), settings_of(refiners=[DenseCRF()], refine_side=side))[1]
        for side in (0, 1024)
    ]
    assert needed[0] > 8 * needed[1]


def test_what_does_not_grow_needs_nothing():
    settings = settings_of()
    assert needs.needed_memory((10**5, 10**5), (10**4, 10**4), settings)[1] == 0
    assert not needs.grows((10**4, 10**4), settings)


def test_the_message_says_what_takes_it_and_what_to_do(monkeypatch):
    options = SegmentorOptions(weights=None, refiners=[PAMR()])
    monkeypatch.setattr(needs, "free_memory", lambda device: 3 * 2**30)
    settings = resolve(options, Vocabulary.parse("cat, dog"))
    message = (
        r"a.jpg has 1024 x 2048 pixels .*: PAMR needs at least 40.0 GiB for it with 2541 names of 847 classes, but the "
        r"machine has 3.0 GiB left. Leave PAMR out, or give fewer names. .*--model.refine_side"
    )
    with pytest.raises(DataError, match=message):
        needs.check_memory("a.jpg", (1024, 2048), (2541, 847), options, settings, CPU)
    needs.check_memory("a.jpg", (375, 500), (171, 171), options, settings, CPU)
    monkeypatch.setattr(needs, "free_memory", lambda device: None)  # nobody says so
    needs.check_memory("a.jpg", (1024, 2048), (2541, 847), options, settings, CPU)


def test_what_is_free_on_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(needs, "CONTAINER", tmp_path)
    assert needs.free_memory(CPU) is None
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:  500 kB\nSwapFree:  20 kB\n")
    assert needs.free_memory(CPU) == 520 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert needs.free_memory(CPU) == 520 * 1024
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("100000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 1000\n")
    assert needs.free_memory(CPU) == 201_000


def test_in_python(tiny_clip, little):
    segmentor = Segmentor.from_pretrained(tiny_clip, templates="none", device="cpu", refiners=[PAMR()])
    with pytest.raises(DataError, match=r"The image has 300 x 200 pixels .*PAMR needs at least 0\.0 GiB"):
        segmentor.predict(np.zeros((300, 200, 3), np.uint8), "cat, dog")
    segmentor.changed(refiners=None).predict(np.zeros((300, 200, 3), np.uint8), "cat, dog")


def test_predict_says_so_of_the_largest_before_weights_are_loaded(tiny_clip, little, tmp_path, monkeypatch, capsys):
    for name, size in {"a": (60, 40), "b": (300, 200), "c": (200, 100)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sclip_lightning.segmentor.load_clip", lambda *_: pytest.fail("loaded weights"))
    with pytest.raises(SystemExit):
        main(["predict", f"--images={tmp_path}", "--classes=cat, dog", "--device=cpu", "--model.templates=none",
              f"--model.architecture={tiny_clip}", "--model.weights=null", "--model.refiners+=PAMR",
              "--refine_side=150"])  # fmt: skip
    error = capsys.readouterr().err
    assert "b.png has 200 x 300 pixels" in error and "--on_error skip" in error


def test_so_does_a_test(tiny_clip, little, tmp_path, monkeypatch, capsys):
    base = write_voc(tmp_path, 2)
    Image.new("RGB", (300, 200)).save(base / "JPEGImages/2007_000001.jpg")
    Image.new("P", (300, 200)).save(base / "SegmentationClass/2007_000001.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["test", "--config=baseline.yaml", "--data=VOC21", f"--data.root={base}", "--data.num_workers=0",
              "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--model.refiners+=PAMR",
              f"--model.architecture={tiny_clip}", "--model.weights=null", "--model.templates=none"])  # fmt: skip
    assert "The largest image of VOC21 has 200 x 300 pixels" in capsys.readouterr().err
