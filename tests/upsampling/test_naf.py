"""NAF against its authors' code, and what holds for logits that it mixes."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import CheckpointError, ConfigError
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.upsampling import NAF
from sclip_lightning.upsampling.mixing import neighbours
from sclip_lightning.upsampling.mixing.neighbours import mixed_logits, shifted_inwards
from sclip_lightning.upsampling.naf import merged_on_patches, naf_logits
from sclip_lightning.upsampling.networks.naf import NAFNetwork, load_naf
from sclip_lightning.windows import Extent
from tests.builders import build_segmentor, patch_logits
from tests.golden import Recording
from tests.upsampling.recipe import recorded_guidance, recorded_state

GOLDEN = Recording("naf")


@cache
def recorded_network(which):
    network = NAFNetwork(GOLDEN.json("cfg")[which]["dim"]).requires_grad_(False)
    network.load_state_dict(recorded_state(GOLDEN, which))
    return network


class Case:
    """A recorded case; one with an output that is no multiple of the grid is skipped, since nothing here makes one."""

    def __init__(self, name):
        settings = GOLDEN.json("cfg")["cases"][name]
        self.key, self.grid, self.size = f"case/{name}", settings["grid"], settings["out"]
        if any(out % cells for out, cells in zip(self.size, self.grid, strict=True)):
            pytest.skip("Positions per cell are a whole number here.")
        self.scale, self.kernel = self.size[0] // self.grid[0], settings["kernel_size"]
        self.network, self.image = recorded_network(settings["weights"]), recorded_guidance(GOLDEN, name)

    def mixed_by_head(self, values):
        """What each head makes of values [heads of B, C, h, w] of its own, [heads, B, C, H, W]."""
        queries = self.network.queries(self.image, tuple(self.size))
        keys = F.adaptive_avg_pool2d(queries.flatten(1, 2), self.grid).unflatten(1, queries.shape[1:3])
        near = [shifted_inwards(cells, self.kernel) for cells in self.grid]
        heads = zip(queries.split(1, dim=1), keys.split(1, dim=1), values, strict=True)
        return [mixed_logits(q, k, value, *near, queries.shape[2] ** -0.5) for q, k, value in heads]

    def recorded(self, name):
        return GOLDEN.tensor(f"{self.key}/{name}")


def worst(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@GOLDEN.each("case/{name}/lr")
def test_features(name):
    case = Case(name)
    features = case.recorded("lr")
    out = torch.cat(case.mixed_by_head(features.chunk(GOLDEN.json("cfg")["small"]["heads_attn"], dim=1)), dim=1)
    if f"{case.key}/out" in GOLDEN:
        assert worst(out, case.recorded("out")) < 1e-4
    else:
        assert worst(out.flatten(2)[..., case.recorded("out_idx").long()], case.recorded("out_sub")) < 1e-4


@GOLDEN.each("case/{name}/w")
def test_weights_of_each_head(name):
    case = Case(name)
    expected, cells = case.recorded("w"), case.grid[0] * case.grid[1]
    one_hot = torch.eye(cells).unflatten(1, tuple(case.grid)).expand(len(case.image), -1, -1, -1)
    weights = torch.stack([one[0].flatten(1).T for one in case.mixed_by_head([one_hot] * len(expected))])
    assert worst(weights[:, case.recorded("w_idx").long()], expected) < 1e-5


@GOLDEN.each("case/{name}/logits_mean")
def test_logits(name):
    case = Case(name)
    out = naf_logits(case.network, case.image, case.recorded("logits"), case.scale, case.kernel)
    assert worst(out, case.recorded("logits_mean")) < 1e-5


@GOLDEN.each("real_key_shapes")
def test_published_names_and_shapes():
    state = NAFNetwork().state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == GOLDEN.json("real_key_shapes")
    assert worst(state["image_encoder.rope.periods"], GOLDEN.tensor("real_periods")) < 1e-4


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return load_naf(None, width=32)


@pytest.fixture
def window():
    """Guidance [3, 3, 40, 88] and logits [3, 4, 5, 11]: one axis is shorter than a neighbourhood."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, 40, 88, generator=generator), torch.randn(3, 4, 5, 11, generator=generator)


@pytest.mark.parametrize("scale", [1, 2, 3, 16])
def test_the_mix_is_convex(network, window, scale):
    image, _ = window
    one_hot = torch.eye(55).unflatten(1, (5, 11))[None]
    weights = naf_logits(network, image[:1], one_hot, scale)
    assert weights.shape == (1, 55, 5 * scale, 11 * scale)
    assert weights.min() >= 0
    assert worst(weights.sum(dim=1), torch.ones(1, 5 * scale, 11 * scale)) < 1e-6
    constant = naf_logits(network, image[:1], torch.full((1, 2, 5, 11), 0.3), scale)
    assert worst(constant, torch.full_like(constant, 0.3)) < 1e-6
    # All rows of cells take part, of the columns nine: those around the own one, moved inwards at the border.
    positions = (weights > 0).unflatten(1, (5, 11))[0, :, :, 0]
    assert positions.any(dim=0).sum(dim=0).unique().tolist() == [9]
    assert positions[:, :9, 0].all()
    assert positions[:, 2:, -1].all()


def test_one_cell_gives_its_logits(network):
    logits = torch.randn(1, 3, 1, 4, generator=torch.Generator().manual_seed(0))
    assert naf_logits(network, torch.randn(1, 3, 16, 64), logits, 4).shape == (1, 3, 4, 16)
    alone = logits[..., :1]
    assert worst(naf_logits(network, torch.randn(1, 3, 16, 16), alone, 4), alone.expand(1, 3, 4, 4)) < 1e-6


def test_neither_bands_nor_other_windows_change_anything(network, window, monkeypatch):
    whole = naf_logits(network, *window, 4)
    monkeypatch.setattr(neighbours, "CPU_BAND", 1)
    monkeypatch.setattr("sclip_lightning.upsampling.mixing.guided.CPU_PIXELS", 1)
    assert worst(naf_logits(network, *window, 4), whole) < 1e-6


def test_autocast_stays_close_and_the_result_float32(network, window):
    with torch.autocast("cpu", torch.bfloat16):
        mixed = naf_logits(network, *window, 4)
    assert mixed.dtype == torch.float32
    assert 0 < worst(mixed, naf_logits(network, *window, 4)) < 0.1


@pytest.fixture
def segmentor(example, network):
    def build(**options):
        step = NAF(weights=None, **options)
        return build_segmentor(example.model, example.queries, example.classes, steps=[step], networks={"naf": network})

    return build


def test_an_image_of_one_window_is_nearly_the_same_either_way(segmentor, example):
    """Not quite: on the way to the image's grid logits pass through pixels, which blurs them by a few percent."""
    image = example.image[..., :224, :224]
    once = segmentor(where="image").logits(image, (224, 224))
    assert worst(once, segmentor(where="window").logits(image, (224, 224))) < 0.01


def test_several_windows_become_one(segmentor, example):
    """An image that no patch divides keeps its proportions, and its merged grid covers all of it."""
    model = segmentor(scale=2).segmentor
    scene = model.scene(example.image[0, :, :230, :250])
    (step,) = model.sheet_steps
    with torch.no_grad():
        plain = build_segmentor(example.model, example.queries, example.classes).segmentor.sheet(scene)
        assert len(plain.logits) == 4
        merged = merged_on_patches(plain, scene)
        assert merged.logits.shape[:3] == (1, 14, 16)
        assert step.guidance(merged, scene).shape == (1, 3, 14 * 8, 16 * 8)
        assert step(plain, scene).logits.shape[:3] == (1, 28, 32)
        alone = NAF(weights=None, where="window", scale=2)(plain, scene).logits
    assert alone.shape[:3] == (4, 28, 28)


def test_remainder_pixels_guide_nothing(segmentor, example):
    image = example.image[..., :48, :64]
    longer = F.pad(image, (0, 0, 0, 6), value=3.0)
    per_window = segmentor(where="window", scale=2)
    torch.testing.assert_close(patch_logits(per_window, longer), patch_logits(per_window, image))


def test_random_weights_and_too_fine_grids_are_refused(segmentor):
    with pytest.raises(ConfigError, match="would look real and be worthless"):
        SegmentorOptions(upsampler=NAF(weights=None))
    with pytest.raises(ConfigError, match=r"--model\.upsampler\.scale"):
        segmentor(scale=17)


def test_checkpoints_that_do_not_fit_are_refused(network, tmp_path, monkeypatch):
    path, state = tmp_path / "naf.pth", load_naf(None).state_dict()

    def refused(content, *said):
        if content is not None:
            torch.save(content, path)
        with pytest.raises(CheckpointError) as error:
            load_naf(str(path))
        assert all(part in str(error.value) for part in (str(path), *said))

    torch.save(state, path)
    loaded = load_naf(str(path)).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    path.write_bytes(path.read_bytes()[:1000])
    refused(None, "cannot be read")
    first = "image_encoder.encoder.0.weight"
    refused(network.state_dict(), f"{first.replace('weight', 'bias')} has shape [16], expected [128]")
    refused(state | {first: torch.full((128, 3, 1, 1), torch.nan)}, f"{first} has values that are not finite")
    refused({"upsampler.weight": torch.zeros(1)}, "does not fit NAF", "naf_release.pth", "valeoai/NAF")
    refused([1, 2], "holds no state dict")
    path.unlink()
    refused(None, "are no file", "https://github.com/valeoai/NAF/releases/download/model/naf_release.pth")

    def download(url, *_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(CheckpointError, match=r"model/naf_release\.pth.*no route to host.*--model\.upsampler\.weights"):
        load_naf()


def test_an_image_too_large_is_known_before_it_is_encoded():
    extent = Extent(queries=5, classes=5, pixels=0, network_pixels=10**6, window_pixels=224**2)
    assert NAF(scale=8).memory(extent) == 2 * 4 * 128 * 10**6
    assert NAF(scale=2).memory(extent) < NAF(scale=4).memory(extent) < NAF(scale=8).memory(extent)
    assert NAF(where="window").memory(extent) == 0
