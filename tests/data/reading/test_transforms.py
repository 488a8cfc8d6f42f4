import importlib.metadata
import os

import cv2
import numpy as np
import pytest
import torch

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.data.reading.transforms import MEAN, STD, ImRescale, image_pipeline, rescaled_size


def noise(height, width):
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((128, 132), 336, (336, 347)),  # half is rounded up, where Python's round() gives 346
        ((60, 640), 448, (192, 2048)),  # the long side is the bound
        ((640, 60), 448, (2048, 192)),
        ((375, 500), 336, (336, 448)),
        ((500, 375), 336, (448, 336)),
        ((480, 640), 448, (448, 597)),
        ((1024, 2048), 560, (560, 1120)),
    ],
)
def test_rescaled_size_is_that_of_mmcv(size, short_side, expected):
    assert rescaled_size(*size, short_side) == expected


@pytest.mark.parametrize("size", [(90, 123), (33, 40), (48, 48), (20, 300)])
def test_pixels_are_those_of_opencv(size):
    image = noise(*size)
    height, width = rescaled_size(*size, 48)
    expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(ImRescale(48)(image=image)["image"], expected)


def test_masks_keep_their_size():
    mask = np.zeros((90, 123), dtype=np.uint8)
    assert ImRescale(48)(image=noise(90, 123), mask=mask)["mask"].shape == (90, 123)


@pytest.mark.parametrize("short_side", [0, 40])
def test_pipeline_normalises_in_float32(short_side):
    image = noise(50, 70)
    tensor = image_pipeline(short_side)(image=image)["image"]
    resized = ImRescale(short_side)(image=image)["image"] if short_side else image
    expected = (resized.astype(np.float64) - MEAN) / STD
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, *resized.shape[:2])
    np.testing.assert_allclose(tensor.permute(1, 2, 0).numpy(), expected, rtol=0, atol=2e-6)


def test_albumentations_is_the_mit_release_and_asks_no_registry():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
    # AlbumentationsX (AGPL) installs the same module over it.
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("albumentationsx")


def test_a_protocol_may_bound_the_long_side():
    """SegEarth-OV makes the long side 448 pixels; a short side of the user's own is kept to."""
    image = np.zeros((300, 400, 3), np.uint8)
    assert image_pipeline(448, 448)(image=image)["image"].shape == (3, 336, 448)
    data = VOC21("nowhere")
    data.use(Protocol(short_side=448, long_side=448))
    assert (data.resolved_short_side, data.resolved_long_side) == (448, 448)
    own = VOC21("nowhere", short_side=448)
    own.use(Protocol(short_side=448, long_side=448))
    assert (own.resolved_short_side, own.resolved_long_side) == (448, 2048)
