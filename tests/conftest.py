import pytest
import torch

from sclip_lightning.demo.benchmark import write_scenes
from tests.tiny_clip import resclip_golden as load_resclip_golden
from tests.tiny_clip import sclip_golden as load_sclip_golden
from tests.tiny_clip import write_tiny_clip


@pytest.fixture(scope="session")
def sclip_golden():
    return load_sclip_golden()


@pytest.fixture(scope="session")
def resclip_golden():
    return load_resclip_golden()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Name of a tiny CLIP on disk, for ``architecture``."""
    return write_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def demo_scenes(tmp_path_factory):
    """Folder with the first ten test scenes of the demo."""
    folder = tmp_path_factory.mktemp("demo") / "scenes"
    write_scenes(folder, "test", 10)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("SCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def resclip_image(resclip_golden):
    """The recordings' image "IMG", normalised, [1, 3, 336, 448]."""
    _, golden = resclip_golden
    pixels = torch.from_numpy(golden["image_u8"]).float()
    image = (pixels - torch.from_numpy(golden["mean"])) / torch.from_numpy(golden["std"])
    return image.permute(2, 0, 1)[None, :, :, :448]
