"""The scripts behind the tables of large images and many names run, on tiny ones."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return import_module


def test_large(script, tiny_clip, capsys):
    threads = str(torch.get_num_threads())
    script("large").main(["--size", "60", "80", "--parts", "none", "--architecture", tiny_clip, "--threads", threads])
    assert re.match(r"60 x 80, parts none +[\d.]+ s +[\d.]+ s of processors, [\d.]+ GiB", capsys.readouterr().out)


@pytest.mark.slow
def test_vocabularies(script, monkeypatch, capsys):
    vocabularies = script("vocabularies")
    monkeypatch.setattr(vocabularies, "MANY", 8)  # of 9 names, three are one class
    vocabularies.main(["--sizes", "40x60", "--queries", "9"])
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines() if row.startswith("| 40 x 60")]
    assert [row[2] for row in rows] == ["predict", "scoring", "PAMR", "DenseCRF", "SFR, one window"]
    assert all(re.fullmatch(r"[\d.]+", row[3]) for row in rows)


def test_what_does_not_fit_is_not_begun(script, monkeypatch, capsys):
    vocabularies = script("vocabularies")
    monkeypatch.setattr(vocabularies, "_free", lambda: 1)
    vocabularies.main(["--sizes", "40x60", "--queries", "3", "--parts", "PAMR"])
    assert "| PAMR | not begun: it takes at least 0.0 GiB" in capsys.readouterr().out


@pytest.mark.parametrize("names", [3, 9])
def test_behind_the_tower_a_host_waits_once_an_image(script, names, monkeypatch):
    """To refuse logits that are not finite; tables of a size are made for its first image alone."""
    vocabularies, waits = script("vocabularies"), script("waiting").Waits(torch.device("cpu"))
    monkeypatch.setattr(vocabularies, "MANY", 8)
    case = vocabularies.Case((40, 60), names, torch.device("cpu"))
    segmentor = case.segmentor()
    segmentor.predict(case.image, case.size, case.rgb)
    with waits:
        result = segmentor.predict(case.image, case.size, case.rgb)
        assert waits.calls.total() == 1
        assert result.probabilities.shape == (3, *case.size)
    assert waits.calls.total() == 1
