import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.windows.grid import cut_windows, window_grid


@pytest.mark.parametrize(
    ("side", "starts"),
    [
        (224, (0,)),
        (225, (0, 1)),
        (336, (0, 112)),
        (337, (0, 112, 113)),
        (448, (0, 112, 224)),
        (597, (0, 112, 224, 336, 373)),
        (100, (0,)),
    ],
)
def test_last_window_ends_with_the_image(side, starts):
    assert window_grid(side, 224, 224, 112).tops == starts
    assert window_grid(224, side, 224, 112).lefts == starts


def test_short_sides_are_one_window_of_their_own_length():
    grid = window_grid(160, 300, 224, 112)
    assert grid.window_size == (160, 224)
    assert (grid.tops, grid.lefts) == ((0,), (0, 76))


def test_crop_zero_is_the_whole_image():
    grid = window_grid(300, 500, 0, 112)
    assert grid.window_size == grid.image_size == (300, 500)
    assert len(grid) == 1


@pytest.mark.parametrize(("crop", "stride"), [(224, 225), (224, 0), (-1, 1)])
def test_gaps_are_refused(crop, stride):
    with pytest.raises(ConfigError, match=r"--model.stride"):
        window_grid(500, 500, crop, stride)


def test_windows_are_cut_image_by_image_and_row_by_row():
    images = torch.arange(2 * 6 * 7).reshape(2, 1, 6, 7)
    windows = cut_windows(images, window_grid(6, 7, 4, 3))
    assert windows.shape == (8, 1, 4, 4)
    expected = [image[:, y : y + 4, x : x + 4] for image in images for y in (0, 2) for x in (0, 3)]
    assert torch.equal(windows, torch.stack(expected))
