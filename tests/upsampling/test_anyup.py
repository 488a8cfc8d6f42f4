"""AnyUp against its authors' code, and what holds for logits that it mixes."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import CheckpointError, ConfigError
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.upsampling import AnyUp
from sclip_lightning.upsampling.anyup import anyup_logits
from sclip_lightning.upsampling.mixing import neighbours
from sclip_lightning.upsampling.mixing.neighbours import mixed_logits, window_of_share, within_share
from sclip_lightning.upsampling.networks.anyup import AnyUpNetwork, load_anyup
from sclip_lightning.upsampling.networks.naf import load_naf
from tests.builders import build_segmentor, patch_logits
from tests.golden import Recording
from tests.upsampling.recipe import recorded_guidance, recorded_state

GOLDEN = Recording("anyup")


@cache
def recorded_network(which):
    network = AnyUpNetwork(GOLDEN.json("cfg")[which]["qk_dim"]).requires_grad_(False)
    network.load_state_dict(recorded_state(GOLDEN, which))
    return network


def mixed(name, values):
    """What a recorded case makes of values [B, C, h, w], of its first images where there are fewer."""
    settings = GOLDEN.json("cfg")["cases"][name]
    network, grid, size = recorded_network(settings["weights"]), tuple(settings["grid"]), tuple(settings["out"])
    image, features = recorded_guidance(GOLDEN, name), GOLDEN.tensor(f"case/{name}/lr")
    queries, of_image = network.encoded(image, size, grid)
    keys = network.keys(of_image, features)
    near = [within_share(*axis, settings["window_ratio"]) for axis in zip(grid, size, strict=True)]
    count = len(values)
    return mixed_logits(queries[:count], keys[:count], values, *near, queries.shape[2] ** -0.5)


def worst(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@GOLDEN.each("case/{name}/lr")
def test_features(name):
    out, key = mixed(name, GOLDEN.tensor(f"case/{name}/lr")), f"case/{name}"
    if f"{key}/out" in GOLDEN:
        assert worst(out, GOLDEN.tensor(f"{key}/out")) < 1e-5
    else:
        chosen = GOLDEN.tensor(f"{key}/out_idx").long()
        assert worst(out.flatten(2)[..., chosen], GOLDEN.tensor(f"{key}/out_sub")) < 1e-5


@GOLDEN.each("case/{name}/w")
def test_weights(name):
    grid = GOLDEN.json("cfg")["cases"][name]["grid"]
    weights = mixed(name, torch.eye(grid[0] * grid[1]).unflatten(1, grid)[None])[0].flatten(1).T
    assert worst(weights[GOLDEN.tensor(f"case/{name}/w_idx").long()], GOLDEN.tensor(f"case/{name}/w")) < 1e-5


@GOLDEN.each("case/{name}/logits_out")
def test_logits(name):
    settings, recorded = GOLDEN.json("cfg")["cases"][name], lambda key: GOLDEN.tensor(f"case/{name}/{key}")
    (height, width), (scale, rest) = settings["grid"], divmod(settings["out"][0], settings["grid"][0])
    if rest or settings["out"] != [height * scale, width * scale]:
        pytest.skip("Positions per cell are a whole number here.")
    network, image = recorded_network(settings["weights"]), recorded_guidance(GOLDEN, name)
    out = anyup_logits(network, image, recorded("lr"), recorded("logits"), scale, settings["window_ratio"])
    assert worst(out, recorded("logits_out")) < 1e-5


@GOLDEN.each("window/{number}")
def test_windows(number):
    cells, positions, ratio = GOLDEN.json("window_args")[int(number)]
    found = torch.stack(window_of_share(cells, positions, ratio), dim=1)
    assert torch.equal(found, GOLDEN.tensor(f"window/{number}").long())


@GOLDEN.each("real_key_shapes")
def test_published_names_and_shapes():
    shapes = {key: list(value.shape) for key, value in AnyUpNetwork().state_dict().items()}
    assert shapes == dict(GOLDEN.json("real_key_shapes"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return load_anyup(None, width=32)


@pytest.fixture
def window():
    """Guidance [3, 3, 40, 96], features [3, 20, 5, 12] and logits [3, 4, 5, 12]."""
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 3, 40, 96), (3, 20, 5, 12), (3, 4, 5, 12)
    return tuple(torch.randn(*shape, generator=generator) for shape in shapes)


@pytest.mark.parametrize("scale", [1, 2, 3, 16])
def test_the_mix_is_convex_and_stays_within_its_window(network, window, scale):
    image, features, _ = (one[:1] for one in window)
    weights = anyup_logits(network, image, features, torch.eye(60).unflatten(1, (5, 12))[None], scale)
    assert weights.shape == (1, 60, 5 * scale, 12 * scale)
    assert weights.min() >= 0
    assert worst(weights.sum(dim=1), torch.ones(1, 5 * scale, 12 * scale)) < 1e-6
    constant = anyup_logits(network, image, features, torch.full((1, 2, 5, 12), 0.3), scale)
    assert worst(constant, torch.full_like(constant, 0.3)) < 1e-6
    used = (weights[0] > 0).unflatten(0, (5, 12))
    for axis, cells in enumerate((5, 12)):
        along = used.any(dim=1 - axis).any(dim=2 - axis)  # [cells, positions] of the axis
        first, end = window_of_share(cells, cells * scale, 0.1)
        index = torch.arange(cells)[:, None]
        assert torch.equal(along, (index >= first) & (index < end))


def test_features_count_in_the_order_of_their_channels(network, window):
    image, features, logits = window
    expected = anyup_logits(network, image, features, logits, 2)
    assert worst(anyup_logits(network, image, features * 3, logits, 2), expected) < 1e-4
    assert worst(anyup_logits(network, image, features.flip(1), logits, 2), expected) > 1e-3
    finer = F.interpolate(features, scale_factor=3, mode="nearest")
    assert worst(anyup_logits(network, image, finer, logits, 2), expected) < 1e-4


def test_one_cell_gives_its_logits(network):
    logits = torch.randn(1, 3, 1, 4, generator=torch.Generator().manual_seed(0))
    out = anyup_logits(network, torch.randn(1, 3, 16, 64), torch.randn(1, 20, 1, 4), logits, 4)
    assert out.shape == (1, 3, 4, 16)
    alone, features = logits[..., :1], torch.randn(1, 20, 1, 1)
    out = anyup_logits(network, torch.randn(1, 3, 16, 16), features, alone, 4)
    assert worst(out, alone.expand(1, 3, 4, 4)) < 1e-6


def test_neither_bands_nor_other_windows_change_anything(network, window, monkeypatch):
    whole = anyup_logits(network, *window, 4)
    monkeypatch.setattr(neighbours, "CPU_BAND", 1)
    monkeypatch.setattr("sclip_lightning.upsampling.mixing.guided.CPU_PIXELS", 1)
    assert worst(anyup_logits(network, *window, 4), whole) < 1e-6


def test_autocast_stays_close_and_the_result_float32(network, window):
    with torch.autocast("cpu", torch.bfloat16):
        out = anyup_logits(network, *window, 4)
    assert out.dtype == torch.float32
    assert 0 < worst(out, anyup_logits(network, *window, 4)) < 0.1


def test_it_reads_the_tokens_of_its_window(example, network):
    steps, networks = [AnyUp(weights=None)], {"anyup": network}
    segmentor = build_segmentor(example.model, example.queries, example.classes, steps=steps, networks=networks)
    image = example.image[..., :48, :64]
    mixed_here = patch_logits(segmentor, image)
    assert mixed_here.shape[1] == 6 * 8
    longer = F.pad(image, (0, 0, 0, 6), value=3.0)  # what fills no patch guides nothing
    torch.testing.assert_close(patch_logits(segmentor, longer), mixed_here)


def test_random_weights_are_refused_beside_trained_ones():
    with pytest.raises(ConfigError, match="would look real and be worthless"):
        SegmentorOptions(upsampler=AnyUp(weights=None))


def test_checkpoints_that_do_not_fit_are_refused(network, tmp_path, monkeypatch):
    path, state = tmp_path / "anyup.pth", load_anyup(None).state_dict()

    def refused(content, *said):
        if content is not None:
            torch.save(content, path)
        with pytest.raises(CheckpointError) as error:
            load_anyup(str(path))
        assert all(part in str(error.value) for part in (str(path), *said))

    torch.save(state, path)
    loaded = load_anyup(str(path)).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    path.write_bytes(path.read_bytes()[:1000])
    refused(None, "cannot be read")
    refused(network.state_dict(), "expected [128")
    refused(load_naf(None, width=32).state_dict(), "does not fit AnyUp", "anyup_multi_backbone.pth")
    asked = []

    def download(url, *_, **__):
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for name in ("multi_backbone", "paper"):
        with pytest.raises(CheckpointError, match=r"no route to host.*--model\.upsampler\.weights"):
            load_anyup(name)
    ends = ["checkpoint_v2/anyup_multi_backbone.pth", "checkpoint/anyup_paper.pth"]
    assert asked == [f"https://github.com/wimmerth/anyup/releases/download/{end}" for end in ends]
