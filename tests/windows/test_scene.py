"""What is cut out of an image and its maps."""

import torch
import torch.nn.functional as F

from sclip_lightning.windows import Windows, nearest, window_grid


def test_nearest_pixels_are_those_that_torch_takes_of_a_float32_map():
    differ = 0
    for source, target in [(392, 336), (375, 336), (512, 459), (2048, 560), (33, 70), (336, 42), (7, 7)]:
        expected = F.interpolate(torch.arange(source).float()[None, None], target, mode="nearest")[0, 0].long()
        assert torch.equal(nearest(torch.arange(source)[None], (1, target))[0], expected)
        assert torch.equal(nearest(torch.arange(source)[:, None], (target, 1))[:, 0], expected)
        differ += int((expected != torch.arange(target) * source // target).sum())
    assert differ  # exact arithmetic is not it


def test_nearest_takes_any_number_as_it_is():
    map_ = torch.tensor([[2**62 + 1, -5], [7, 8]])
    assert nearest(map_, (4, 2)).tolist() == [[2**62 + 1, -5], [2**62 + 1, -5], [7, 8], [7, 8]]


def test_maps_are_cut_as_the_image_is():
    image = torch.arange(3 * 50 * 70).float().view(3, 50, 70) + 1
    windows = Windows(image, window_grid(50, 70, 64, 32, 48), 1)
    assert torch.equal(windows.cut(image), windows.pixels)
    assert torch.equal(windows.cut(image[:1], slice(1, 2)), windows.pixels[1:, :1])
    larger = image.repeat_interleave(2, dim=1).repeat_interleave(3, dim=2)
    assert torch.equal(windows.cut(larger), windows.pixels)
