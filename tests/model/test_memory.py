"""One image that there is no memory for ends the work on itself, not that on thousands of others."""

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.cli import main
from sclip_lightning.errors import DataError
from sclip_lightning.model.memory import memory_for
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from tests.fake_data import draw_labels, write_image, write_voc

NO_MEMORY = {
    "GPU": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "machine": RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
    "Python": MemoryError(),
}


@pytest.fixture(params=NO_MEMORY)
def too_little(request, monkeypatch):
    """Images wider than 64 pixels need more memory than there is."""
    predict = SlidingWindowSegmentor.predict

    def hungry(self, image, size, *rest):
        if size[1] > 64:
            raise NO_MEMORY[request.param]
        return predict(self, image, size, *rest)

    monkeypatch.setattr(SlidingWindowSegmentor, "predict", hungry)
    return "the GPU" if request.param == "GPU" else "the machine"


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"), memory_for("a", (1, 2), SegmentorOptions()):
        raise RuntimeError("shapes do not match")


def test_memory_that_torch_really_cannot_have():
    message = r"a\.png has 1 x 2 pixels .* the machine has too little memory"
    with pytest.raises(DataError, match=message), memory_for("a.png", (1, 2), SegmentorOptions()):
        torch.empty(2**60, dtype=torch.uint8)


def test_in_python(tiny_clip, too_little):
    segmentor = Segmentor.from_pretrained(tiny_clip, templates="none", crop=48, stride=32, short_side=32, device="cpu")
    with pytest.raises(DataError, match=rf"The image has 48 x 70 pixels .*{too_little} has too little memory"):
        segmentor.predict(np.zeros((48, 70, 3), np.uint8), "cat, dog")


@pytest.fixture
def small(tiny_clip, tmp_path, monkeypatch, plain_board):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return [f"--model.architecture={tiny_clip}", "--model.templates=none", "--model.crop=48", "--model.stride=32"]


def test_predict_skips_it(small, too_little, tmp_path, capsys):
    for i, width in enumerate((64, 70, 60)):
        path = tmp_path / f"photos/{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        write_image(path, draw_labels((48, width), 21, seed=i))
    with pytest.raises(SystemExit):
        main(["predict", f"--images={path.parent}", "--classes=cat, dog", "--on_error=skip", "--short_side=32",
              "--device=cpu", *small])  # fmt: skip
    assert f"1.jpg has 48 x 70 pixels (height x width), and {too_little}" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "work/predictions/labels").iterdir()} == {"0.png", "2.png"}


def test_so_does_a_test_that_was_told_to(small, too_little, tmp_path, capsys):
    base = write_voc(tmp_path, 3)
    Image.new("RGB", (70, 48)).save(base / "JPEGImages/2007_000001.jpg")
    Image.new("P", (70, 48)).save(base / "SegmentationClass/2007_000001.png")
    arguments = ["test", "--config=baseline.yaml", "--data=VOC21", f"--data.root={base}", "--data.short_side=32",
                 "--data.num_workers=0", "--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0",
                 "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", *small]  # fmt: skip
    main([*arguments, "--data.on_error=skip"])
    printed = capsys.readouterr().out
    assert "Incomplete: 1 image could not be scored and was skipped" in printed
    assert f"2007_000001 has 48 x 70 pixels (height x width), and {too_little}" in printed


def test_an_image_smaller_than_a_patch(small, tmp_path, capsys):
    base = write_voc(tmp_path, 2)
    Image.new("RGB", (500, 3)).save(base / "JPEGImages/2007_000001.jpg")
    Image.new("P", (500, 3)).save(base / "SegmentationClass/2007_000001.png")
    main(["test", "--config=baseline.yaml", "--data=VOC21", f"--data.root={base}", "--data.short_side=64",
          "--data.num_workers=0", "--data.on_error=skip", "--panels.count=0", "--ranked_panels.worst=0",
          "--ranked_panels.median=0", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
          *small])  # fmt: skip
    assert "The image 2007_000001 has 3 x 500 pixels (height x width) and comes to 12 x 2048" in capsys.readouterr().out
