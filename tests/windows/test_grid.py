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


def test_borders_are_where_windows_begin_or_end_inside_the_image():
    grid = window_grid(300, 400, 224, 112)  # rows 0..224 and 76..300, columns 0..224, 112..336 and 176..400
    assert grid.borders((300, 400)) == ([76, 224], [112, 176, 224, 336])
    assert grid.borders((600, 100)) == ([152, 448], [28, 44, 56, 84])
    assert grid.borders((10, 7)) == ([3, 7], [2, 3, 4, 6])  # 2.53, 7.47 and 1.96, 3.08, 3.92, 5.88
    assert grid.borders((1, 2)) == ([], [1])  # what is rounded to the image's own edge is none inside it
    assert window_grid(200, 300, 224, 112).borders((200, 300)) == ([], [76, 224])
    padded = window_grid(300, 400, 220, 112, multiple=16)
    assert padded.borders((300, 400)) == window_grid(300, 400, 220, 112).borders((300, 400))


@pytest.mark.parametrize("crop", [0, 500])
def test_one_window_has_no_borders(crop):
    assert window_grid(300, 500, crop, 112).borders((600, 1000)) == ([], [])


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
