import torch
import torch.nn.functional as F

from sclip_lightning.refine.bilateral import Bilateral, bilateral
from tests.builders import guide


def exact(maps, image, sxy, srgb):
    """The filter by its definition, all pixels with all pixels."""
    height, width = maps.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    features = torch.cat([torch.stack([x, y]).flatten(1) / sxy, image.flatten(1) / srgb]).T.double()
    weights = (-torch.cdist(features, features).square() / 2).softmax(dim=1)
    return (weights @ maps.flatten(1).T.double()).T.view_as(maps).float()


def scene():
    """Two halves of different grey with grain, and noisy probabilities of them."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((3, 40, 60), 80.0)
    image[:, :, 30:] = 160
    image = (image + 5 * torch.randn(3, 40, 60, generator=generator)).byte()
    right = F.one_hot(torch.arange(60) // 30, 2).T[:, None].expand(2, 40, 60)
    return (0.6 * right + 0.4 * torch.rand(2, 40, 60, generator=generator)).float(), image


def test_it_is_near_the_exact_filter():
    maps, image = scene()
    filtered = Bilateral(sxy=6, srgb=20)(maps, guide(image))
    expected = exact(maps, image, 6, 20)
    assert (filtered - expected).abs().mean() < 0.25 * (maps - expected).abs().mean()


def test_it_smooths_within_edges():
    maps, image = scene()
    filtered = bilateral(maps, image)
    assert filtered[1, :, 30:].std() < 0.2 * maps[1, :, 30:].std()
    assert filtered[1, :, 30:].mean() - filtered[1, :, :30].mean() > 0.55


def test_values_stay_in_range_and_constants_stay():
    maps, image = scene()
    filtered = bilateral(maps, image)
    assert filtered.max() <= maps.max() + 1e-6
    assert filtered.min() >= maps.min() - 1e-6
    torch.testing.assert_close(bilateral(torch.full_like(maps, 0.3), image), torch.full_like(maps, 0.3))


def test_one_pixel():
    maps = torch.tensor([0.2, 0.8])[:, None, None]
    torch.testing.assert_close(bilateral(maps, torch.zeros(3, 1, 1, dtype=torch.uint8)), maps)
