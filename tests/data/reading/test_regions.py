"""A folder of segment maps: which file is an image's, and what is wrong with it."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data import Cityscapes, ImageFolder
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import ConfigError, DataError
from tests.fake_data import write_cityscapes, write_own
from tests.stored_images import png

IDS = np.arange(24).reshape(4, 6) // 5


def save(path, values=IDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, instance_mask=values)


def fails(call, *match):
    with pytest.raises(DataError) as error:
        call()
    for words in match:
        assert words in str(error.value)


def test_a_map_is_called_as_the_file_of_its_image(tmp_path):
    save(tmp_path / "a photo.v2.npz")
    (tmp_path / "b.png").write_bytes(png(IDS, 8))
    maps = SegmentMaps(tmp_path)
    for name in ("a photo.v2", "b"):
        found = maps.read((name,), (4, 6))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, IDS)
        maps.check((name,), (4, 6))


def test_the_first_name_with_a_file_counts(tmp_path):
    save(tmp_path / "one.npz", IDS)
    save(tmp_path / "more/one.npz", IDS + 1)
    maps = SegmentMaps(tmp_path)
    assert maps.read(("more/one", "one")).min() == 1
    assert maps.read(("less/one", "one")).min() == 0
    maps.check_names([("more/one", "one"), ("one", "one"), ("two", "two")])
    fails(lambda: maps.check_names([("less/one", "one"), ("one", "one")]), "less/one and one would both get", "one.npz")


def test_missing_maps_are_named_with_what_is_near(tmp_path):
    for name in ("aachen_1", "frankfurt_0_1_leftImg8bit", "munster_7", "zürich"):
        save(tmp_path / f"{name}.npz")
    (tmp_path / "other.png").touch()
    (tmp_path / "masks.json").touch()
    maps = SegmentMaps(tmp_path, option="--regions")
    looked = (f"looked for {tmp_path / 'frankfurt_0_1'}.npz (or .png)", "holds 4 .npz and 1 .png files", "(--regions)")
    fails(lambda: maps.find(("frankfurt_0_1",)), *looked, "is called frankfurt_0_1_leftImg8bit.npz")
    fails(lambda: maps.check(("munster_7_leftImg8bit",), (4, 6)), "is called munster_7.npz")
    fails(lambda: maps.read(("in/Aachen_1", "Aachen_1")), f"{tmp_path / 'in/Aachen_1'}.npz and", "called aachen_1.npz")
    (tmp_path / "none").mkdir()
    fails(lambda: SegmentMaps(tmp_path / "none").find(("a",)), "the folder holds 0 .npz and 0 .png files. Call each")
    for benchmark in ("voc", "ade"):  # the published archive as it unpacks
        save(tmp_path / "none" / benchmark / "a.npz")
    fails(lambda: SegmentMaps(tmp_path / "none").find(("a",)), "0 .png files, but folders: ade, voc. Call each")


def test_two_maps_of_one_image(tmp_path):
    save(tmp_path / "a.npz")
    (tmp_path / "a.png").write_bytes(png(IDS, 8))
    fails(lambda: SegmentMaps(tmp_path).find(("a",)), "two segment maps", "a.npz and a.png", "Remove")


def test_another_size_is_refused_unless_nearest_pixels_are_wanted(tmp_path):
    save(tmp_path / "a.npz")
    maps = SegmentMaps(tmp_path)
    for call in (maps.check, maps.read):
        fails(lambda call=call: call(("a",), (6, 4)), "has 4 x 6 pixels", "its image 6 x 4", "--data.resize_regions")
    resized = SegmentMaps(tmp_path, resize=True)
    resized.check(("a",), (6, 4))
    for height, width in [(8, 4), (4, 6), (16, 12), (4, 24)]:  # without centres between pixels
        found = resized.read(("a",), (height, width))
        expected = Image.fromarray(IDS.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(found, np.asarray(expected))


def test_the_checksum_is_that_of_contents_and_names(tmp_path):
    names = [("a",), ("b",), ("c",)]
    for i, (name,) in enumerate(names[:2]):
        save(tmp_path / f"one/{name}.npz", IDS + i)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    save(tmp_path / "two/of another image.npz")
    one, two = (SegmentMaps(tmp_path / folder) for folder in ("one", "two"))
    assert one.checksum(names) == two.checksum(names[::-1])
    known = two.checksum(names)
    save(tmp_path / "two/c.npz")
    more = two.checksum(names)
    (tmp_path / "two/a.npz").rename(tmp_path / "two/d.npz")
    (tmp_path / "two/b.npz").rename(tmp_path / "two/a.npz")
    (tmp_path / "two/d.npz").rename(tmp_path / "two/b.npz")
    assert len({known, more, two.checksum(names)}) == 3


def test_what_is_no_folder(tmp_path):
    fails(
        SegmentMaps(tmp_path / "absent").check_folder, "--data.regions", "is not there, seen from", "expected a folder"
    )
    (tmp_path / "region_masks.zip").touch()
    fails(SegmentMaps(tmp_path / "region_masks.zip").check_folder, "is a file", "has to be unpacked")


@pytest.fixture
def own(tmp_path):
    """Own data with segment maps."""
    base = write_own(tmp_path, 2, size=(4, 6))
    for i in range(2):
        save(base / f"maps/street {i}.npz", IDS + i)

    def make(**options):
        given = {"root": str(base), "classes": str(base / "classes.txt"), "short_side": 32, "num_workers": 0}
        data = ImageFolder(**given | {"regions": str(base / "maps")} | options)
        data.setup()
        return data

    return make


def test_maps_are_read_with_samples_where_parts_ask_for_them(own):
    data = own()
    assert data.dataset[0]["regions"] is None
    assert "regions" not in data.describe_data()
    data.read_regions(["RegionVote"])
    for i in range(2):
        np.testing.assert_array_equal(data.dataset[i]["regions"], IDS + i)
    described = data.describe_data()
    assert described["regions"] == "segment maps as stored"
    assert len(described["regions_sha256"]) == 12
    assert (
        own(panoptic_regions=True).maps.describe() != own(resize_regions=True).maps.describe() != data.maps.describe()
    )
    data.read_regions([])
    assert data.dataset[0]["regions"] is None


def test_parts_that_ask_in_vain(own):
    with pytest.raises(ConfigError, match=r"RegionVote and B need a segment map .*--data\.regions is not given"):
        own(regions=None).read_regions(["RegionVote", "B"])
    with pytest.raises(DataError, match=r"--data\.regions .*is not there"):
        own(regions="absent").read_regions(["RegionVote"])


def test_missing_maps_are_found_by_the_look_at_headers(own, tmp_path):
    (tmp_path / "own/maps/street 0.npz").unlink()
    save(tmp_path / "own/maps/street 1.npz", IDS.T)
    data = own()
    data.read_regions(["RegionVote"])
    fails(lambda: data.check_files(range(2)), "no segment map of street 0", "1 more sample has problems")
    fails(lambda: data.check_files([1]), "street 1.npz has 6 x 4 pixels")
    skipping = own(on_error="skip")
    skipping.read_regions(["RegionVote"])
    skipping.check_files(range(2))
    assert "no segment map of street 0" in skipping.dataset[0]["error"]
    assert skipping.dataset[0]["regions"] is None
    assert "has 6 x 4 pixels" in skipping.dataset[1]["error"]


def test_the_published_names_for_cityscapes(tmp_path):
    base = write_cityscapes(tmp_path, 1, size=(4, 6))
    save(tmp_path / "city/munster_000000_000019_leftImg8bit.npz")
    data = Cityscapes(root=str(base), short_side=32, num_workers=0, regions=str(tmp_path / "city"))
    data.setup()
    data.read_regions(["RegionVote"])
    np.testing.assert_array_equal(data.dataset[0]["regions"], IDS)
