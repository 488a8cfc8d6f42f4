"""What is done in parts where an image is large gives what is done at once where it is not."""

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.data.reading import pixels, transforms
from sclip_lightning.data.reading.images import to_rgb
from sclip_lightning.model import sliding_window
from sclip_lightning.pictures import drawing
from sclip_lightning.windows import WindowDecoder, merge
from sclip_lightning.windows.cache import KEPT
from sclip_lightning.windows.grid import window_grid

SIZE = (181, 240)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.mark.parametrize("short_side", [64, 0])
def test_labels_are_the_same(tiny_clip, rgb, monkeypatch, short_side):
    """Probabilities agree to the last digits: products of other shapes may round otherwise."""
    options = {"short_side": short_side, "device": "cpu", "templates": "none", "crop": 48, "stride": 20}
    segmentor = Segmentor.from_pretrained(tiny_clip, **options)
    expected = segmentor.predict(rgb, "cat, grass, sky, water")
    probabilities = expected.probabilities
    monkeypatch.setattr(sliding_window, "MANY_WINDOWS", 1)
    monkeypatch.setattr(merge, "WIDE", 0)
    monkeypatch.setattr(merge, "CPU_BLOCK", 4 * SIZE[1] * 7)
    monkeypatch.setattr(merge, "LARGE_OPERATOR", 0)
    monkeypatch.setattr(transforms, "STRIP", SIZE[1] * 10)
    monkeypatch.setattr(WindowDecoder, "decode", lambda *_: pytest.fail("made all tokens at once"))
    KEPT.clear()
    found = segmentor.predict(rgb, "cat, grass, sky, water")
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)
    top = np.sort(probabilities, axis=0)
    clear = top[-1] - top[-2] > 2e-6
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.labels[clear], expected.labels[clear])
    KEPT.clear()


def test_no_more_rows_of_cells_are_wide_than_a_block_needs(monkeypatch):
    monkeypatch.setattr(merge, "WIDE", 0)
    monkeypatch.setattr(merge, "CPU_BLOCK", 1)
    grid = window_grid(200, 90, 40, 20)
    logits = torch.randn(len(grid), 5, 5, 3)
    merged = merge.MergedLogits(logits, grid, (400, 180))
    most, cells = [], merge.MergedLogits._cells

    def watched(self, block, wide):
        result = cells(self, block, wide)
        most.append(len(wide))
        return result

    monkeypatch.setattr(merge.MergedLogits, "_cells", watched)
    whole = merged.full()
    assert max(most) <= 8  # of 45: two rows of each of the windows that cover a row of the image
    monkeypatch.setattr(merge, "WIDE", 2**28)
    torch.testing.assert_close(whole, merge.MergedLogits(logits, grid, (400, 180)).full(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pixels_are_the_same(tmp_path, rgb, monkeypatch, mode):
    Image.fromarray(rgb).convert(mode).save(tmp_path / "a.png")
    expected = to_rgb(tmp_path / "a.png")
    monkeypatch.setattr(pixels, "LARGE", 2000)
    np.testing.assert_array_equal(to_rgb(tmp_path / "a.png"), expected)


def test_prepared_pixels_are_the_same(rgb, monkeypatch):
    pipeline = transforms.image_pipeline(0)
    expected = transforms.prepare(pipeline, rgb, "a")
    monkeypatch.setattr(transforms, "STRIP", SIZE[1] * 10)
    assert torch.equal(transforms.prepare(pipeline, rgb, "a", resizes=False), expected)


def test_counts_are_the_same(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 5, SIZE).astype(np.uint16)
    monkeypatch.setattr(drawing, "COUNTED", 1000)
    assert drawing.count_labels(labels, 7).tolist() == np.bincount(labels.ravel(), minlength=7).tolist()
