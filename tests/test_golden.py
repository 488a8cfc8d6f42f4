"""Recordings are found, a missing one fails, and the parts in the repository are parts."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.golden import PARTS, Recording, fail_without_recording
from tests.goldens.cut import LARGEST, cut

#: The whole files, where they lie beside the repository.
WHOLE = Path(__file__).parents[2] / "shared" / "goldens"
NAMES = sorted(json.loads((PARTS / "kept.json").read_text()))
KEYS = {"slide/a/x": [1], "slide/a/y": [2], "slide/b/x": [3], "slide/b/more/x": [4], "size": 7}


@pytest.fixture
def recording(tmp_path):
    np.savez(tmp_path / "some_C.npz", **KEYS)
    return Recording("some", tmp_path, "C")


def marks(recording, template):
    """The marks that a test of a template carries, by name."""

    @recording.each(template)
    def test(): ...

    return {mark.name: mark for mark in test.pytestmark}


def run(found):
    """What happens before a test with these marks runs."""
    fail_without_recording(SimpleNamespace(iter_markers=lambda name: [found[name]]))


def test_cases_are_the_keys_of_a_form(recording):
    found = marks(recording, "slide/{variant}/x")
    assert found["parametrize"].args == (("variant",), [("a",), ("b",)])
    assert recording.matches("slide/{variant}/{which}")[1] == {"variant": "a", "which": "y"}
    assert set(marks(recording, "size")) == {"golden"}
    run(found)


@pytest.mark.parametrize("template", ["whole/{variant}/x", "slide/{a}/{b}/{c}/x", "sizes"])
def test_a_kind_without_cases_fails(recording, template):
    with pytest.raises(pytest.fail.Exception, match="no key"):
        run(marks(recording, template))


def test_a_missing_file_fails_when_the_test_runs(tmp_path):
    with pytest.raises(pytest.fail.Exception, match=r"some_C.npz does not exist. Set SCLIP_GOLDENS"):
        run(marks(Recording("some", tmp_path, "C"), "slide/{variant}/x"))
    with pytest.raises(pytest.fail.Exception, match="does not exist"):
        Recording("some", tmp_path, "C").state("sd/")


def test_what_was_left_out_skips_and_nothing_else(recording):
    left_out = {"some": {"keys": ["sd/"], "why": "Too large."}}
    (recording.folder / "left_out.json").write_text(json.dumps(left_out))
    assert "Too large." in marks(recording, "sd/{name}")["skip"].kwargs["reason"]
    with pytest.raises(pytest.skip.Exception, match="Too large"):
        recording["sd/x"]
    with pytest.raises(pytest.fail.Exception, match="no key"):
        recording["other"]
    assert "skip" not in marks(recording, "slide/{variant}/x")


@pytest.mark.slow
def test_a_part_is_cut_into_small_files_and_read_as_one(tmp_path):
    random = np.random.default_rng(0)
    arrays = {f"noise/{i}": random.integers(0, 256, 900_000, dtype=np.uint8) for i in range(3)}
    np.savez(tmp_path / "some_C.npz", **arrays, other=0)
    (tmp_path / "parts").mkdir()
    paths = cut(tmp_path / "some_C.npz", ["noise/"], tmp_path / "parts")
    assert len(paths) == 3
    assert all(path.stat().st_size <= LARGEST for path in paths)
    part = Recording("some", tmp_path / "parts", "C")
    assert "other" not in part
    assert all(np.array_equal(part[key], array) for key, array in arrays.items())


def test_parts_are_small():
    sizes = [path.stat().st_size for path in PARTS.glob("*.npz")]
    assert max(sizes) <= LARGEST
    assert sum(sizes) <= 12_000_000


@pytest.mark.parametrize("name", NAMES)
def test_every_part_holds_what_it_is_said_to_hold(name):
    part = Recording(name, PARTS, "A")
    left_out = json.loads((PARTS / "left_out.json").read_text()).get(name, {"keys": []})["keys"]
    for kept in json.loads((PARTS / "kept.json").read_text())[name]:
        assert any(key.startswith(kept) for key in part.keys), kept
    assert not [key for key in part.keys if key.startswith(tuple(left_out))]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_parts_have_the_arrays_of_the_whole(name):
    if not WHOLE.is_dir():
        pytest.skip("The whole recordings are not beside the repository.")
    part, whole = Recording(name, PARTS, "A"), Recording(name, WHOLE, "A")
    for key in part.keys:
        assert part[key].dtype == whole[key].dtype
        np.testing.assert_array_equal(part[key], whole[key])
