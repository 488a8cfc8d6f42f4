import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data import ImageFolder
from sclip_lightning.errors import DataError
from tests.fake_data import write_own


def ready(root, **options):
    data = ImageFolder(root=str(root), num_workers=0, **{"classes": str(root / "classes.txt")} | options)
    data.setup()
    return data


def test_images_masks_and_classes(tmp_path):
    base = write_own(tmp_path, 3)
    data = ready(base)
    assert [files.id for files in data.dataset.files] == ["street 0", "street 1", "street 2"]
    assert data.benchmark.classes == ("sky", "car", "person")
    assert data.benchmark.synonyms[0] == ("sky", "wall")
    assert data.benchmark.class_file == "classes.txt"
    assert data.benchmark.palette.shape == (3, 3)
    assert data.benchmark.scores_boundaries
    protocol = data.benchmark.protocol
    assert (protocol.short_side, protocol.crop, protocol.prob_threshold) == (336, 224, 0)
    assert data.resolved_short_side == 336  # nobody else has a protocol for own data
    stored = np.array(Image.open(base / "masks/street 0.png"))
    assert np.array_equal(data.dataset[0]["mask"].numpy(), stored)
    assert ready(base, classes=["a", "b", "c"], short_side=64).resolved_short_side == 64


def test_zero_is_void(tmp_path):
    base = write_own(tmp_path, 1, size=(2, 2))
    Image.fromarray(np.array([[0, 1], [3, 255]], dtype=np.uint8)).save(base / "masks/street 0.png")
    assert ready(base, zero_is_void=True).dataset[0]["mask"].tolist() == [[255, 0], [2, 255]]
    with pytest.raises(DataError, match=r"outside the table: 3 .*expected 0\.\.2, 255"):
        ready(base).dataset[0]


def test_other_folders_names_and_a_list(tmp_path):
    base = write_own(tmp_path, 3)
    (base / "all").mkdir()
    for i in range(3):
        (base / f"images/street {i}.jpg").rename(base / f"all/street-{i}.JPG")
        (base / f"masks/street {i}.png").rename(base / f"all/street-{i}_labels.png")
    (base / "val.txt").write_text("street-2\nstreet-0\n")
    files = ready(base, images="all", masks=str(base / "all"), mask_suffix="_labels.png").dataset.files
    assert [sample.image.name for sample in files] == ["street-0.JPG", "street-1.JPG", "street-2.JPG"]
    listed = ready(base, images="all", masks="all", mask_suffix="_labels.png", split="val.txt").dataset.files
    assert [sample.id for sample in listed] == ["street-2", "street-0"]


def test_classes_are_required(tmp_path):
    with pytest.raises(DataError, match=r"--data\.classes is not given, but ImageFolder has no classes of its own"):
        ImageFolder(root=str(tmp_path))
    with pytest.raises(DataError, match="names 256 classes, but at most 255"):
        ImageFolder(root=str(tmp_path), classes=[f"class {i}" for i in range(256)])


def test_bad_folders(tmp_path):
    base = write_own(tmp_path, 2)
    with pytest.raises(DataError, match=r"no folder .*pictures \(--data\.images, relative to --data\.root\)"):
        ready(base, images="pictures")
    with pytest.raises(DataError, match=r"list .*val\.txt cannot be read"):
        ready(base, split="val.txt")
    (base / "masks/street 1.png").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 samples have no mask: street 1\."):
        ready(base)
    Image.new("RGB", (64, 48)).save(base / "images/street 0.png")
    with pytest.raises(DataError, match=r"street 0\.jpg and .*street 0\.png have the same name but for the suffix"):
        ready(base)
