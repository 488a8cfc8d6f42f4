"""One array out of an npz file that anybody may have made."""

import io
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from sclip_lightning.data.reading.npz import opened_npz
from sclip_lightning.errors import DataError

MAP = np.arange(12 * 17).reshape(12, 17)


def read(path, name="instance_mask"):
    with opened_npz(path, name) as array:
        return array.read()


def refuses(path, match, name="instance_mask"):
    with pytest.raises(DataError, match=match) as error:
        read(path, name)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def npy(array, header=None, version=(1, 0)):
    """The bytes of an npy file, with another description if one is given."""
    if header is None:
        stored = io.BytesIO()
        np.lib.format.write_array(stored, array, version)
        return stored.getvalue()
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + array.tobytes()


def described(shape, kind="<i8", order=False):
    return str({"descr": kind, "fortran_order": order, "shape": shape}) + "\n"


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", ".."), content)
    return path


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<u8", "<f2", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_all_kinds_of_numbers(tmp_path, kind, order):
    values = np.asarray(MAP % 2 if kind == "?" else MAP % 100).astype(kind, order=order)
    np.savez_compressed(tmp_path / "a.npz", other=MAP[:2], instance_mask=values)
    found = read(tmp_path / "a.npz")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "other"), MAP[:2])


def test_another_version_of_the_format_and_large_arrays(tmp_path):
    large = np.random.default_rng(0).integers(2**40, size=(301, 97))  # beyond what is read with the description
    archive(tmp_path / "a.npz", **{"instance_mask.npy": npy(large, version=(2, 0))})
    np.testing.assert_array_equal(read(tmp_path / "a.npz"), large)


def test_an_array_of_another_name_is_refused_with_those_that_are_there(tmp_path):
    np.savez(tmp_path / "a.npz", masks=MAP, **{"in\nstance": MAP})
    refuses(tmp_path / "a.npz", r"no array 'instance_mask'; it has 'masks', 'in\\nstance'\. Save the map under this")
    np.savez(tmp_path / "b.npz")
    refuses(tmp_path / "b.npz", "it has none")


def test_nothing_is_unpickled_or_unpacked(tmp_path):
    """Members that would land outside of the folder if they were unpacked, and code in the place of numbers."""
    place = tmp_path / "folder"
    place.mkdir()
    objects = np.array([open, print], dtype=object)
    archive(place / "a.npz", **{"__/__/outside.npy": npy(MAP), "__/instance_mask.npy": npy(MAP)})
    refuses(place / "a.npz", r"no array 'instance_mask'; it has '../../outside', '../instance_mask'")
    np.savez(place / "b.npz", instance_mask=objects)
    refuses(place / "b.npz", r"array of type object .*does not consist of numbers")
    archive(place / "c.npz", **{"__/__/outside.npy": npy(MAP), "instance_mask.npy": npy(MAP)})
    np.testing.assert_array_equal(read(place / "c.npz"), MAP)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "b.npz", "c.npz", "folder"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (npy(MAP)[:-3], "ends earlier than it says"),
        (npy(MAP) + b"123", "is longer than it says"),
        (npy(MAP, described((12, -17))), r"shape \[12, -17\] does not consist"),
        (npy(MAP, described((12, 17), "<U2")), "type <U2 .*does not consist"),
        (npy(MAP, described((12, 17), "(2,)<i4")), "does not consist"),
        (npy(MAP, described((12, 17), [("a", "<i4")])), "does not consist"),
        (npy(MAP, described((12, 17), "|V8")), "does not consist"),
        (npy(MAP, "{'shape': (12, 17)}\n"), r"a\.npz cannot be read as an npz file: .*"),
        (npy(MAP, described((12, 17)) + " " * 2**17, (2, 0)), "EOF"),
        (b"\x93NUMPY\x03\x00" + npy(MAP)[8:], r"unknown format 3\.0"),
        (b"no numpy file", "magic"),
        (b"", "magic"),
    ],
)
def test_what_is_no_array_of_numbers(tmp_path, content, match):
    refuses(archive(tmp_path / "a.npz", **{"instance_mask.npy": content}), match)


def test_files_that_are_no_archive(tmp_path):
    refuses(tmp_path / "absent.npz", "No such file")
    (tmp_path / "a.npz").write_bytes(npy(MAP))
    refuses(tmp_path / "a.npz", "not a zip file. Make, copy or download the file again")


def test_a_small_file_takes_no_more_memory_than_it_says_and_may(tmp_path):
    """What unpacks to far more is refused for the shape that it names, or after as much as its shape takes."""
    zeros = bytes(2**24)
    long = npy(MAP, described((2**31, 2**31)))
    archive(tmp_path / "shape.npz", **{"instance_mask.npy": long})
    archive(tmp_path / "data.npz", **{"instance_mask.npy": npy(MAP) + zeros})
    archive(tmp_path / "head.npz", **{"instance_mask.npy": npy(MAP, described((12, 17)) + " " * 2**24, (2, 0))})
    del zeros
    tracemalloc.start()
    try:
        with opened_npz(tmp_path / "shape.npz", "instance_mask") as array:
            assert array.shape == (2**31, 2**31)  # for the caller to refuse
        refuses(tmp_path / "data.npz", "is longer than it says")
        refuses(tmp_path / "head.npz", "EOF")
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_damaged_files_end_in_numbers_or_in_a_sentence(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", instance_mask=MAP)
    whole, refused, path = (tmp_path / "a.npz").read_bytes(), 0, tmp_path / "b.npz"
    chance = random.Random(0)
    for _ in range(120):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([None, None, chance.randrange(len(content))])])
        try:
            found = read(path)
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(found, MAP)  # the checksum has been compared
    assert 40 < refused < 120
