"""What is handed on of a run: a small folder that says what was computed, on what, and what came out."""

import platform
import shutil
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from sclip_lightning.files import replacing_folder, write_text
from sclip_lightning.records.artefacts import CONFIG, RECORDS, RUN
from sclip_lightning.records.files import record_files
from sclip_lightning.reports.card import CARD, card
from sclip_lightning.reports.results import Results

__all__ = ["ENVIRONMENT", "pack"]

#: The file of all installed packages.
ENVIRONMENT = "environment.txt"


def pack(folder: Path, results: Results, target: Path) -> None:
    """Put into a folder whatever of a run others need to check it, in the place of what was there.

    Results with the published figures, the record of every image, the configuration, the installed packages, and a card
    to read. No images and no label maps; ``config.yaml`` names the folders of this machine.

    Args:
        folder: The finished run's.
        results: Its results, held against published figures.
        target: Where to put them.
    """
    with replacing_folder(target) as made:
        for name in (RUN, CONFIG):
            shutil.copyfile(folder / name, made / name)
        (made / RECORDS).mkdir()
        for _, path in record_files(folder):
            shutil.copyfile(path, made / RECORDS / path.name)
        results.save(made)
        write_text(made / ENVIRONMENT, _environment())
        write_text(made / CARD, card(results, folder.name))


@cache
def _environment() -> str:
    """Every installed package with its version, as pip would take it; above them the machine."""
    packages = {one.name.lower(): f"{one.name}=={one.version}" for one in distributions() if one.name}
    head = f"# Python {platform.python_version()} on {platform.platform()}\n"
    return head + "".join(f"{packages[name]}\n" for name in sorted(packages))
