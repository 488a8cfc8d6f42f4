"""The reader of MATLAB files against SciPy's writer, and on files that neither may be believed."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from sclip_lightning.data.reading.matlab import matlab_size, read_matlab
from sclip_lightning.errors import DataError

LABELS = np.arange(5 * 7).reshape(5, 7) * 5


def element(order, kind, content):
    """A tag and data, filled up to 8 bytes; a small element where it can be one."""
    if 0 < len(content) <= 4:
        halves = (kind, len(content)) if order == "<" else (len(content), kind)
        return struct.pack(f"{order}HH", *halves) + content.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def file(order, number_class, stored, values, name=b"S", flags=0, compressed=False):
    """A file whose one variable is of a class, its numbers stored as another."""
    body = element(order, 6, struct.pack(f"{order}II", number_class | flags, 0))
    body += element(order, 5, struct.pack(f"{order}{values.ndim}i", *values.shape))
    body += element(order, 1, name)
    kinds = {2: "u1", 4: "u2", 9: "f8"}
    body += element(order, stored, values.astype(f"{order}{kinds[stored]}").tobytes(order="F"))
    matrix = struct.pack(f"{order}II", 14, len(body)) + body
    if compressed:
        packed = zlib.compress(matrix)
        matrix = struct.pack(f"{order}II", 15, len(packed)) + packed
    version = struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return b"MATLAB 5.0 MAT-file".ljust(124) + version + matrix


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "i8", "f4", "f8"])
def test_what_scipy_writes(tmp_path, kind, compressed):
    path = tmp_path / "mask.mat"
    others = {"names": np.array(["a", "bc"], dtype=object), "text": "words", "scalar": 3.5, "nested": {"S": LABELS + 1}}
    for variable in ("LabelMap", "S"):
        savemat(path, {**others, variable: LABELS.astype(kind), "more": LABELS + 2}, do_compression=compressed)
        values = read_matlab(path)
        assert np.array_equal(values, LABELS)
        assert values.dtype == (np.uint8 if kind == "u1" else np.int32)
        assert matlab_size(path) == (5, 7)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("number_class", "stored"), [(6, 2), (11, 2), (9, 2), (6, 9), (11, 4)])
@pytest.mark.parametrize("name", [b"S", b"LabelMap"])
def test_numbers_in_fewer_bytes_than_their_class_has(tmp_path, order, compressed, number_class, stored, name):
    path = tmp_path / "mask.mat"
    path.write_bytes(file(order, number_class, stored, LABELS, name, compressed=compressed))
    assert np.array_equal(read_matlab(path), LABELS)
    assert matlab_size(path) == (5, 7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file("<", 6, 9, LABELS + 0.5), r"shape \[5, 7\] and type float64 .*expected \[H, W\] integers"),
        (file("<", 6, 9, np.where(LABELS > 9, np.nan, LABELS)), "type float64"),
        (file("<", 9, 2, LABELS[None]), r"shape \[1, 5, 7\]"),
        (file("<", 4, 2, LABELS), "real numbers"),
        (file("<", 9, 2, LABELS, flags=0x0800), "real numbers"),
        (file("<", 9, 2, LABELS, name=b"x\ny"), r"found 'x\\ny'"),
        (file("<", 9, 2, LABELS)[:124] + b"\0\2IM", "none of format 5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(300), "none of format 5"),
        (b"", "none of format 5"),
    ],
)
def test_what_is_no_label_map(tmp_path, content, message):
    path = tmp_path / "mask.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_matlab(path)
    assert "\n" not in str(error.value)
    if "real" not in message and "float" not in message:
        with pytest.raises(DataError, match=message):
            matlab_size(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_cut_at_every_byte(tmp_path, compressed):
    path = tmp_path / "mask.mat"
    whole = file("<", 11, 4, LABELS, compressed=compressed)
    for length in range(len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"mask\.mat (cannot be read|holds no label map)"):
            read_matlab(path)


def test_damaged_numbers_are_never_taken_for_labels(tmp_path):
    """Zlib's checksum is looked at."""
    path = tmp_path / "mask.mat"
    whole = file("<", 11, 4, LABELS, compressed=True)
    refused = 0
    for place in range(136, len(whole)):
        content = bytearray(whole)
        content[place] ^= 0x10
        path.write_bytes(content)
        try:
            assert np.array_equal(read_matlab(path), LABELS)  # the bit meant nothing
        except DataError:
            refused += 1
    assert refused > 0.9 * (len(whole) - 136)
