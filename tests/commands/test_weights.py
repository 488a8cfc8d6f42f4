"""``sclip weights``: what it lists, and that this is what open_clip has."""

import json
import re
import runpy
import shlex
from pathlib import Path

import open_clip
import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands.weights import TABLE, read_table

ROOT = Path(__file__).parents[2]
LINES = re.findall("^sclip weights.*", (ROOT / "docs/guide.md").read_text(), re.MULTILINE)


def test_the_table_is_what_open_clip_has():
    rows, made_for = read_table()
    if made_for != open_clip.__version__:
        pytest.skip(f"The table is for open_clip {made_for}.")
    assert TABLE.read_text() == runpy.run_path(str(ROOT / "docs/weights.py"))["listed"]()
    assert len(rows) > 60


@pytest.mark.parametrize("line", LINES)
def test_documented_lines_run(line, capsys):
    main(shlex.split(line)[1:])
    assert "metaclip_fullcc" in capsys.readouterr().out


def test_rows_have_a_word_and_what_is_not_there_is_explained(capsys):
    main(["weights", "ViT-L-14-quickgelu", "--format=json"])
    rows = json.loads(capsys.readouterr().out)
    assert {row["architecture"] for row in rows} == {"ViT-L-14-quickgelu"}
    assert all(row["word"].startswith("OpenAI's L/14 collapses under SCLIP, not under SC-CLIP") for row in rows)
    main(["weights", "--format=csv"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(read_table()[0])
    with pytest.raises(SystemExit) as ending:
        main(["weights", "siglip"])
    assert ending.value.code == 1
    assert "SigLIP (patches are pooled by an attention of their own" in capsys.readouterr().err


def test_another_open_clip_is_named(monkeypatch, capsys):
    monkeypatch.setattr("sclip_lightning.commands.weights.version", lambda name: "3.9.9")
    main(["weights", "metaclip"])
    assert "installed is 3.9.9." in capsys.readouterr().out
