"""Run lengths against COCO's own tools, on masks of every shape."""

import numpy as np
import pytest

from sclip_lightning.exports.rle import compress, runs_of_classes


def maps():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 40), (40, 1), (7, 9), (60, 80), (300, 170)):
        yield rng.integers(0, 4, (height, width)).astype(np.uint8)
        yield np.repeat(np.repeat(rng.integers(0, 300, (3, 4)), -(-height // 3), 0), -(-width // 4), 1)[:height, :width]
        yield np.full((height, width), 3, np.uint16)


def test_runs_add_up_to_the_map():
    for labels in maps():
        found = runs_of_classes(labels)
        assert sorted(found) == np.unique(labels).tolist()
        for index, runs in found.items():
            mask = np.repeat(np.arange(len(runs.counts)) % 2, runs.counts).reshape(labels.shape, order="F")
            np.testing.assert_array_equal(mask, labels == index)
            rows, columns = np.nonzero(mask)
            left, top, width, height = runs.box
            assert (left, top, left + width - 1, top + height - 1) == (
                columns.min(), rows.min(), columns.max(), rows.max(),
            )  # fmt: skip
            assert runs.area == mask.sum()


def test_a_known_text():
    """By hand: 0 0 1 1 1 0 in a column: runs 2, 3, 1; then 40 = 8 + 1 * 32, whose fourth run stands for 40 - 3."""
    assert compress(np.array([2, 3, 1])) == "231"
    assert compress(np.array([2, 3, 1, 40])) == "231" + chr(48 + 32 + 5) + chr(48 + 1)


def test_texts_are_those_of_pycocotools():
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    for labels in maps():
        for index, runs in runs_of_classes(labels).items():
            expected = coco.encode(np.asfortranarray(labels == index).astype(np.uint8))
            assert compress(runs.counts) == expected["counts"].decode()
            assert runs.area == coco.area(expected)
            assert runs.box == tuple(coco.toBbox(expected))
