"""Which files of images are whole: what a loss of power leaves is made again."""

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.engine.callbacks.image_files import ImageFiles, is_whole


class Labels(ImageFiles):
    def wanted(self, id_):
        return [self.folder / f"{id_}.png"]


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(path)
    return path


@pytest.fixture
def npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 5, 7), np.float16))
    return path


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, instance_mask=np.arange(35, dtype=np.int32).reshape(5, 7))
    return path


@pytest.mark.parametrize("kind", ["png", "npy", "npz"])
def test_no_part_of_a_file_is_whole(kind, request):
    path = request.getfixturevalue(kind)
    assert is_whole(path)
    content = path.read_bytes()
    for length in (*range(0, len(content) - 1, 7), len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path), length


@pytest.mark.parametrize("kind", ["png", "npy", "npz"])
def test_zeros_in_place_of_the_content_are_not_whole(kind, request):
    path = request.getfixturevalue(kind)
    path.write_bytes(bytes(path.stat().st_size))
    assert not is_whole(path)


def test_an_image_without_its_whole_file_is_not_finished(png):
    files = Labels()
    files.folder = png.parent
    assert files.lacking({"a", "b"}) == {"b"}
    png.write_bytes(b"")
    assert files.lacking({"a", "b"}) == {"a", "b"}
