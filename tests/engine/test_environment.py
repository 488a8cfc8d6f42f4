"""What a run says it ran on, and where it counts."""

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import cv2
import pytest
import torch

from sclip_lightning.data import VOC21
from sclip_lightning.engine.environment import counting_device, describe_environment
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.engine.ranks import Ranks


def test_versions_do_not_depend_on_the_distribution(monkeypatch):
    """conda's OpenCV and opencv-python are no opencv-python-headless."""

    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", nothing)
    monkeypatch.setattr("sclip_lightning.engine.environment.version", nothing, raising=False)
    found = describe_environment(torch.device("cpu"))
    assert found["cv2"] == cv2.__version__
    assert found["torch"] == torch.__version__


@pytest.mark.parametrize(("device", "counted_on"), [("cpu", "cpu"), ("cuda", "cuda"), ("mps", "cpu")])
def test_counting_needs_float64(device, counted_on):
    assert counting_device(torch.device(device)).type == counted_on


def test_ranks_on_an_apple_gpu_gather_on_the_cpu():
    strategy = SimpleNamespace(root_device=torch.device("mps"), all_gather=lambda value: value)
    trainer = SimpleNamespace(strategy=strategy, world_size=1, global_rank=0, is_global_zero=True)
    gathered = Ranks(trainer).gather(0.1)
    assert (gathered.dtype, gathered.device.type, gathered.item()) == (torch.float64, "cpu", 0.1)


def test_label_maps_are_brought_to_the_cpu_once():
    moved = []

    class Elsewhere(torch.Tensor):
        def cpu(self):
            moved.append(self.dtype)
            return torch.Tensor.cpu(self.as_subclass(torch.Tensor))

    labels = torch.zeros(4, 4, dtype=torch.int64)
    Evaluation(VOC21.published).update(labels.as_subclass(Elsewhere), labels.byte().as_subclass(Elsewhere))
    assert moved == [torch.int64, torch.uint8]
