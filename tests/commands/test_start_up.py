"""What commands import before they do anything: all else makes them start late."""

import subprocess
import sys

import pytest

PRINT = "; import sys; print(*sorted({'torch', 'lightning', 'open_clip'} & {*sys.modules}))"


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("import sclip_lightning.cli", ""),
        ("from sclip_lightning import Segmentor", "open_clip torch"),
        ("import sclip_lightning.commands.predict", "open_clip torch"),
        (
            "from sclip_lightning.commands.predict import find_vocabulary as find; find('cat, dog', True)",
            "open_clip torch",
        ),
        (
            "import torch; from sclip_lightning.engine.environment import describe_environment as describe; "
            "import open_clip; describe(torch.device('cpu'))",
            "open_clip torch",
        ),
        ("import sclip_lightning.commands.check_data", "lightning torch"),
        ("import sclip_lightning.commands.score", "lightning torch"),
        ("import sclip_lightning.commands.report, sclip_lightning.commands.compare", ""),
    ],
)
def test_commands_import_what_they_need(code, imported):
    printed = subprocess.run([sys.executable, "-c", code + PRINT], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == imported
