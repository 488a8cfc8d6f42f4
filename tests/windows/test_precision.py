"""Float32 stays float32 while something is computed, and logits that are no numbers become no class."""

from dataclasses import dataclass, replace

import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.towers.text import encode_prompts
from sclip_lightning.windows import MapStep, SheetStep, full_float32
from tests.builders import build_segmentor


def tf32_in_use():
    """Whether products of matrices and convolutions of an NVIDIA GPU would use TF32."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9 and later
        return [unit.fp32_precision == "tf32" for unit in (torch.backends.cuda.matmul, torch.backends.cudnn.conv)]
    return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]


@pytest.fixture
def tf32():
    """A user who has switched TF32 on everywhere."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision("highest")


seen = []


@dataclass(frozen=True)
class Watching(SheetStep):
    def __call__(self, sheet, scene):
        seen.append(tf32_in_use())
        return sheet


@dataclass(frozen=True)
class WatchingMaps(MapStep):
    works_on = "probabilities"

    def __call__(self, maps, scene):
        seen.append(tf32_in_use())
        return maps


@pytest.mark.usefixtures("tf32")
def test_tf32_is_off_while_an_image_is_segmented(example):
    seen.clear()
    segmentor = build_segmentor(example.model, example.queries, example.classes, steps=[Watching()]).segmentor
    result = segmentor.predict(example.image[0, :, :224, :224])
    assert result.probabilities.isfinite().all()
    segmentor.map_steps = (WatchingMaps(),)
    segmentor.predict(example.image[0, :, :224, :224])
    assert seen == [[False, False]] * 3
    assert tf32_in_use() == [True, True]


@pytest.mark.usefixtures("tf32")
def test_tf32_is_off_while_names_are_embedded(example, monkeypatch):
    seen.clear()
    clip = type("Clip", (), {"model": example.model, "tokenizer": staticmethod(lambda texts: torch.arange(77)[None])})
    last = example.model.ln_final.forward
    monkeypatch.setattr(example.model.ln_final, "forward", lambda *a: (seen.append(tf32_in_use()), last(*a))[1])
    encode_prompts(clip, ["cat"])
    assert seen == [[False, False]]
    assert tf32_in_use() == [True, True]


@pytest.mark.usefixtures("tf32")
def test_what_was_on_is_on_again_after_an_error():
    with pytest.raises(KeyError), full_float32():
        raise KeyError
    assert tf32_in_use() == [True, True]
    assert torch.get_float32_matmul_precision() == "high"  # the older names answer again
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.usefixtures("tf32")
def test_a_convolution_on_a_gpu_rounds_as_on_the_cpu():
    torch.manual_seed(0)
    image, kernel = torch.randn(1, 3, 224, 224), torch.randn(768, 3, 16, 16)
    expected = torch.nn.functional.conv2d(image.double(), kernel.double(), stride=16)
    with full_float32():
        found = torch.nn.functional.conv2d(image.cuda(), kernel.cuda(), stride=16)
    torch.testing.assert_close(found.cpu().double(), expected, atol=1e-3, rtol=0)


@dataclass(frozen=True)
class Spoiling(SheetStep):
    value: object = float("nan")

    def __call__(self, sheet, scene):
        logits = sheet.logits.clone()
        logits[0, 0, 0, 0] = self.value
        return replace(sheet, logits=logits)


@dataclass(frozen=True)
class SpoilingMaps(MapStep):
    works_on = "probabilities"

    def __call__(self, maps, scene):
        return torch.full_like(maps, torch.nan)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_become_no_class(example, value):
    built = build_segmentor(example.model, example.queries, example.classes, steps=[Spoiling(value)])
    with pytest.raises(ConfigError, match=r"Spoiling gave 1 of \d+ values as NaN or infinite.*--trainer.precision"):
        built.segmentor.predict(example.image[0, :, :224, :224])


def test_maps_and_towers_that_are_no_numbers_become_no_class(example):
    built = build_segmentor(example.model, example.queries, example.classes, refiners=[SpoilingMaps()])
    with pytest.raises(ConfigError, match="SpoilingMaps gave"):
        built.segmentor.predict(example.image[0, :, :224, :224])
    plain = build_segmentor(example.model, example.queries, example.classes)
    with pytest.raises(ConfigError, match="LastBlock gave"):
        plain.segmentor.predict(torch.full((3, 224, 224), torch.nan))
