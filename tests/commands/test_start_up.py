"""What commands import before they do anything, and while they do it: all else makes them start late.

Those that need torch or a model are in test_imports.py, in one process.
"""

import subprocess
import sys

import pytest

from tests.fake_data import write_voc

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


def test_checking_data_needs_no_torch(tmp_path):
    write_voc(tmp_path, 2)
    *lines, imported = printed(f"main(['check-data', '--data=VOC21', '--data.root={tmp_path}', '--subset'])")
    assert "Nothing is wrong." in lines
    assert imported == ""
