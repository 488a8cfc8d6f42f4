"""Maps of SAM 2, on a tiny one with random weights: one mask a point, filtered, painted; and what can be wrong."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sclip_lightning.errors import CheckpointError, ConfigError
from sclip_lightning.regions import SAM, painted
from tests.tiny_sam import write_sam

CPU = torch.device("cpu")
SIZE = (40, 60)
#: Lets every mask through.
ALL = {"iou_threshold": 0, "stability_threshold": 0, "nms_threshold": 1}


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    pytest.importorskip("transformers", reason='needs pip install -e ".[regions]"')
    return write_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def masks(sam, rgb):
    """Logits [n, H, W] of a mask for each of 3 x 3 points and the network's IoU, from the network itself."""
    from transformers import Sam2ImageProcessor, Sam2Model

    network, processor = Sam2Model.from_pretrained(sam).eval(), Sam2ImageProcessor.from_pretrained(sam)
    places = (np.arange(3) + 0.5) / 3 * 64
    points = torch.tensor([[x, y] for y in places for x in places], dtype=torch.float32)[None, :, None]
    with torch.no_grad():
        found = network(
            processor(images=Image.fromarray(rgb), return_tensors="pt")["pixel_values"],
            input_points=points,
            input_labels=torch.ones(1, 9, 1, dtype=torch.int64),
            multimask_output=False,
        )
    logits = torch.nn.functional.interpolate(found.pred_masks[0], SIZE, mode="bilinear", align_corners=False)
    return logits[:, 0].numpy(), found.iou_scores[0, :, 0].numpy()


@pytest.mark.slow
def test_one_mask_a_point_and_the_largest_on_top(sam, rgb, masks):
    logits, scores = masks
    by_score = np.argsort(-scores, kind="stable")
    expected = [logits[i] > 0 for i in by_score]
    assert len({int(mask.sum()) for mask in expected}) >= 3  # else any order would do
    maker = SAM(sam, points_per_side=3, points_per_batch=4, **ALL).load(CPU)
    segments = maker.segment(rgb)
    assert segments.dtype == np.int32
    np.testing.assert_array_equal(segments, painted(expected, SIZE))
    small = SAM(sam, points_per_side=3, order="small_on_top", **ALL).load(CPU).segment(rgb)
    np.testing.assert_array_equal(small, painted(expected, SIZE, "small_on_top"))
    assert not np.array_equal(segments > 0, np.zeros(SIZE)) and not np.array_equal(small, segments)


@pytest.mark.slow
def test_masks_below_the_thresholds_are_left_out(sam, rgb, masks):
    logits, scores = masks
    middle = float(np.sort(scores)[4:6].mean())  # between two
    stability = (logits > 0.05).sum((1, 2)) / (logits > -0.05).sum((1, 2))
    steady = float(np.sort(stability)[4:6].mean())
    for own, kept in (
        ({"iou_threshold": middle}, scores > middle),
        ({"stability_threshold": steady, "stability_offset": 0.05}, stability > steady),
        ({"mask_threshold": 0.1}, scores > -1),
    ):
        threshold = own.get("mask_threshold", 0)
        order = [i for i in np.argsort(-scores, kind="stable") if kept[i] and (logits[i] > threshold).any()]
        assert len(order) > 1
        segments = SAM(sam, points_per_side=3, **(ALL | own)).load(CPU).segment(rgb)
        np.testing.assert_array_equal(segments, painted([logits[i] > threshold for i in order], SIZE))


def test_of_masks_with_like_boxes_the_best_stays(sam, rgb, masks):
    def corners(mask):
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        return rows[0], columns[0], rows[-1], columns[-1]

    def overlap(a, b):
        height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        common = max(height, 0) * max(width, 0)
        return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common)

    logits, scores = masks
    high = float(np.quantile(logits, 0.98))  # else the masks of random weights have one and the same box
    order = [i for i in np.argsort(-scores, kind="stable") if (logits[i] > high).any()]
    boxes = {i: corners(logits[i] > high) for i in order}
    overlaps = np.unique([overlap(boxes[i], boxes[j]) for i in order for j in order if i > j])
    limit = float(overlaps[len(overlaps) // 2 :][:2].mean())
    kept = []
    for i in order:
        if all(overlap(boxes[i], boxes[j]) <= limit for j in kept):
            kept.append(i)
    assert 1 < len(kept) < len(order)
    own = ALL | {"mask_threshold": high, "nms_threshold": limit}
    segments = SAM(sam, points_per_side=3, **own).load(CPU).segment(rgb)
    np.testing.assert_array_equal(segments, painted([logits[i] > high for i in kept], SIZE))


def test_where_no_mask_passes_there_is_no_segment(sam, rgb):
    segments = SAM(sam, points_per_side=2, iou_threshold=1).load(CPU).segment(rgb)
    assert (segments.shape, segments.max()) == (SIZE, 0)


def test_what_is_said_of_it(sam, tmp_path):
    maker = SAM(sam, points_per_side=2).load(CPU)
    assert (maker.generator, maker.model) == ("SAM", sam)
    assert maker.settings["points_per_side"] == 2
    assert "points_per_batch" not in maker.settings  # with fewer at once, the same maps go on
    other = Path(shutil.copytree(sam, tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors", {"format": "pt"})
    assert SAM(str(other)).load(CPU).weights_sha256 != maker.weights_sha256


def test_weights_that_lack_some_are_refused(sam, tmp_path):
    folder = Path(shutil.copytree(sam, tmp_path / "less"))
    weights = load_file(folder / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 1 of the network's tensors, such as mask_decoder\.iou_token"):
        SAM(str(folder)).load(CPU)


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "bert"}'])
def test_what_is_no_such_network(content, tmp_path):
    pytest.importorskip("transformers", reason='needs pip install -e ".[regions]"')
    (tmp_path / "model").mkdir()
    if content is not None:
        (tmp_path / "model/config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"\(--maker\.model\) cannot be loaded: .* Give a SAM or SAM 2"):
        SAM(str(tmp_path / "model")).load(CPU)


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r'--maker SAM needs transformers .*pip install -e "\.\[regions\]"'):
        SAM().load(CPU)
    with pytest.raises(ConfigError, match="--maker: SAM's points_per_side is 0"):
        SAM(points_per_side=0)
