"""What commands import before they do anything, and while they do it: all else makes them start late."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.fake_data import write_palette_mask, write_voc

PRINT = "; import sys; print('\\n' + ' '.join(sorted({'torch', 'lightning', 'open_clip'} & {*sys.modules})))"


def printed(code, **options):
    code = "from sclip_lightning.cli import main; " + code + PRINT
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("import sclip_lightning.cli", ""),
        ("import sclip_lightning.data, sclip_lightning.commands.parsing.benchmarks", ""),
        ("import sclip_lightning.commands.check_data", ""),
        ("main(['weights', 'B-16'])", ""),
        ("import sclip_lightning.commands.report, sclip_lightning.commands.compare", ""),
        (
            "import sclip_lightning.commands.board, sclip_lightning.commands.card, sclip_lightning.reports.html.board",
            "",
        ),
        ("import sclip_lightning.commands.reproduce", ""),
    ],
)
def test_commands_import_what_they_need(code, imported):
    assert printed(code)[-1] == imported


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Two images of VOC, and label maps of them."""
    folder = tmp_path_factory.mktemp("voc")
    (folder / "labels").mkdir()
    for mask in (write_voc(folder, 2) / "SegmentationClass").iterdir():
        with Image.open(mask) as stored:
            write_palette_mask(folder / "labels" / mask.name, np.asarray(stored) % 21)
    return folder


def test_checking_data_needs_no_torch(voc):
    *lines, imported = printed(f"main(['check-data', '--data=VOC21', '--data.root={voc}', '--subset'])")
    assert "Nothing is wrong." in lines
    assert imported == ""


@pytest.mark.slow
def test_scoring_and_panels_of_two_runs_need_no_lightning_and_no_model(voc, tmp_path):
    """In one process, since importing torch takes seconds."""
    (tmp_path / "config.yaml").write_text(
        f"data:\n  class_path: sclip_lightning.data.VOC21\n  init_args:\n    root: {voc}\n    batch_size: 2\n"
    )
    shutil.copytree(voc / "labels", tmp_path / "labels")
    code = (
        f"main(['score', '--data=VOC21', '--data.root={voc}', '--predictions={voc}/labels']); "
        "from pathlib import Path; from sclip_lightning.commands.parsing.compare_panels import write_panels as write; "
        "write((Path(), Path()), ['2007_000001'], Path('panels'))"
    )
    *lines, imported = printed(code, cwd=tmp_path)
    assert any("mIoU" in line for line in lines)
    assert (tmp_path / "panels/2007_000001.png").is_file()
    assert imported == "torch"
