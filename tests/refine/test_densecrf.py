"""DenseCRF against recordings of pydensecrf, the library itself where it is installed, and odd inputs."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import densecrf
from sclip_lightning.refine.bilateral import bilateral
from sclip_lightning.refine.crf import library_crf
from sclip_lightning.refine.densecrf import DenseCRF, dense_crf
from sclip_lightning.windows.cache import KEPT
from tests.builders import guide
from tests.golden import Recording

GOLDEN = Recording("densecrf")


def photo(height=60, width=83, seed=0):
    """A [3, H, W] uint8 image with soft colours, an edge and grain."""
    generator = torch.Generator().manual_seed(seed)
    colours = F.interpolate(torch.rand(1, 3, 4, 5, generator=generator), (height, width), mode="bicubic")[0] * 200 + 20
    colours[:, :, width // 2 :] += 40
    return (colours + 4 * torch.randn(3, height, width, generator=generator)).clamp(0, 255).byte()


def blobs(classes, height=60, width=83, seed=1, spread=0.0):
    """[C, H, W] smooth class probabilities; with spread, many classes are unlikely everywhere."""
    generator = torch.Generator().manual_seed(seed)
    logits = F.interpolate(torch.randn(1, classes, 6, 8, generator=generator), (height, width), mode="bicubic")
    likely = torch.randn(classes, 1, 1, generator=generator) * spread
    return (logits[0] * 2 + likely).softmax(dim=0)


def agreement(one, other):
    return (one.argmax(dim=0) == other.argmax(dim=0)).float().mean()


@GOLDEN.each("{case}_Q{iterations}")
def test_marginals_match_the_recording(case, iterations):
    settings = GOLDEN.json(f"{case}_params")
    gaussian, appearance = settings["gaussian"], settings["bilateral"]
    crf = DenseCRF(
        iterations=int(iterations),
        gaussian_sxy=gaussian["sxy"],
        gaussian_compat=gaussian["compat"],
        bilateral_sxy=appearance["sxy"],
        bilateral_srgb=appearance["srgb"],
        bilateral_compat=appearance["compat"],
        prune=None,
    )
    image = GOLDEN.tensor(f"{case}_image").permute(2, 0, 1)
    marginals, expected = crf(GOLDEN.tensor(f"{case}_probs"), guide(image)), GOLDEN.tensor(f"{case}_Q{iterations}")
    torch.testing.assert_close(marginals, expected, atol=1e-5, rtol=0)
    assert agreement(marginals, expected) == 1


@pytest.mark.parametrize("classes", [2, 21, 60])
def test_marginals_match_the_library(classes):
    pytest.importorskip("pydensecrf")
    probabilities, image = blobs(classes, spread=1.0), photo()
    expected = DenseCRF(backend="pydensecrf")(probabilities, guide(image))
    torch.testing.assert_close(dense_crf(probabilities, image, prune=None), expected, atol=1e-4, rtol=0)
    assert agreement(dense_crf(probabilities, image), expected) >= 0.999


def test_the_library_takes_widths_per_axis():
    pytest.importorskip("pydensecrf")
    settings = {"gaussian_sxy": [2, 4], "bilateral_sxy": (30, 50), "bilateral_srgb": [10, 20, 30]}
    expected = DenseCRF(backend="pydensecrf", **settings)(blobs(3), guide(photo()))
    torch.testing.assert_close(DenseCRF(**settings)(blobs(3), guide(photo())), expected, atol=1e-4, rtol=0)


def test_lumping_keeps_labels_and_sums():
    probabilities, image = blobs(60, spread=3.0), photo()
    contends = densecrf.contenders(probabilities.flatten(1), 0.05, [slice(None)])
    assert 5 < contends.sum() < 40
    every, lumped = dense_crf(probabilities, image, prune=None), dense_crf(probabilities, image)
    assert agreement(every, lumped) >= 0.999
    assert (every - lumped).abs().mean() < 1e-4
    torch.testing.assert_close(lumped.sum(dim=0), torch.ones(60, 83))


def test_classes_that_lead_nowhere_near_prune_still_contend():
    flat = torch.full((100, 12), 0.01)
    flat[3] = 0.012
    assert densecrf.contenders(flat, 0.05, [slice(None)]).all()


def test_no_iterations_normalise():
    probabilities = torch.rand(4, 5, 6) * 0.9 + 0.1
    marginals = dense_crf(probabilities, photo(5, 6), iterations=0)
    torch.testing.assert_close(marginals, probabilities / probabilities.sum(dim=0))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 50), (17, 23)])
@pytest.mark.parametrize("classes", [1, 2, 21])
@pytest.mark.parametrize("kind", ["equal", "one-hot", "zeros", "ones", "any"])
@pytest.mark.parametrize("constant_image", [True, False])
@pytest.mark.parametrize("prune", [None, 0.05])
def test_odd_inputs_give_probabilities(size, classes, kind, constant_image, prune):
    label = torch.arange(size[0] * size[1]).view(size) % classes
    probabilities = {
        "equal": torch.full((classes, *size), 1 / classes),
        "one-hot": F.one_hot(label, classes).permute(2, 0, 1).float(),
        "zeros": torch.zeros(classes, *size),
        "ones": torch.ones(classes, *size),
        "any": torch.rand(classes, *size),
    }[kind]
    image = torch.full((3, *size), 255, dtype=torch.uint8) if constant_image else photo(*size)
    marginals = dense_crf(probabilities, image, prune=prune)
    assert marginals.shape == probabilities.shape
    assert ((marginals >= 0) & (marginals <= 1 + 1e-5)).all()
    torch.testing.assert_close(marginals.sum(dim=0), torch.ones(size))
    if kind in ("equal", "zeros", "ones"):
        torch.testing.assert_close(marginals, torch.full_like(marginals, 1 / classes))


def test_memory_layout_does_not_matter():
    probabilities, image = blobs(5), photo()
    expected = dense_crf(probabilities, image)
    other = probabilities.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    flipped = image.flip(2).contiguous().flip(2)
    torch.testing.assert_close(dense_crf(other, flipped), expected, atol=0, rtol=0)
    torch.testing.assert_close(dense_crf(torch.cat([other, other])[:5], flipped), expected, atol=0, rtol=0)


def test_arguments_are_left_alone():
    probabilities, image = blobs(5), photo()
    before = probabilities.clone(), image.clone()
    dense_crf(probabilities, image)
    assert torch.equal(probabilities, before[0])
    assert torch.equal(image, before[1])


def test_the_smoothness_lattice_is_built_once_per_size(monkeypatch):
    KEPT.clear()
    built = []
    features = densecrf.pixel_features
    monkeypatch.setattr(densecrf, "pixel_features", lambda *size: built.append(size) or features(*size))
    for _ in range(3):
        dense_crf(blobs(2), photo(), gaussian_sxy=[3, 4])
    assert len(built) == 1


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setattr(densecrf, "is_installed", lambda: False)
    monkeypatch.setattr(library_crf, "is_installed", lambda: False)


@pytest.mark.usefixtures("no_library")
def test_a_missing_library_is_an_error_that_helps():
    with pytest.raises(ConfigError, match=r'pip install "sclip_lightning\[crf\]"'):
        DenseCRF(backend="pydensecrf")
    with pytest.raises(ConfigError, match="pip install"):
        library_crf.library_crf(blobs(2), photo(), 10, 3, 3, 80, 13, 10)


@pytest.mark.usefixtures("no_library")
def test_a_missing_library_falls_back_where_it_may():
    with pytest.warns(UserWarning, match="bilateral") as warned:
        crf = DenseCRF(backend="pydensecrf", fallback="bilateral")
        results = [crf(blobs(3), guide(photo())) for _ in range(2)]
    assert len(warned) == 1
    assert crf.ran == "bilateral"
    torch.testing.assert_close(results[1], bilateral(blobs(3), photo()))


@pytest.mark.usefixtures("no_library")
def test_the_other_backends_need_no_library():
    assert DenseCRF(fallback="bilateral").ran == DenseCRF(backend="torch").ran == "torch"


@pytest.mark.parametrize("options", [{"backend": "cuda"}, {"fallback": "pamr"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ConfigError, match="the fallback"):
        DenseCRF(**options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("prune", [None, 0.05])
def test_cuda_matches_the_cpu(prune):
    probabilities, image = blobs(21, 240, 320), photo(240, 320)
    expected = dense_crf(probabilities, image, prune=prune)
    difference = (dense_crf(probabilities.cuda(), image.cuda(), prune=prune).cpu() - expected).abs()
    assert difference.mean() <= 1e-5
    assert (difference.amax(dim=0) <= 1e-3).float().mean() >= 0.99
