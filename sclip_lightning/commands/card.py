"""``sclip card``: one run for people and for the Hugging Face Hub. Imports neither torch nor Lightning."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sclip_lightning.commands.board import with_intervals
from sclip_lightning.commands.report import read_results
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import write_text
from sclip_lightning.records.artefacts import RESULTS
from sclip_lightning.reports.card import card

__all__ = ["run_card"]


def run_card(arguments: Sequence[str]) -> None:
    """Run ``sclip card`` with the given arguments.

    Raises:
        ConfigError: There is no finished run, or the file to write is there already.
    """
    parser = argparse.ArgumentParser(
        prog="sclip card",
        description="Print a finished run as a card: scores with intervals, protocol, notes and classes in Markdown, "
        "below the metadata that the Hugging Face Hub reads (model-index). Needs a run's folder, and nothing else.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="The folder of a finished run.")
    parser.add_argument("--name", help="what was evaluated (default the name of the run's folder)")
    parser.add_argument("--output", metavar="FILE", help="write the card into this file, which must not be there yet")
    options = parser.parse_args(arguments)
    folder = Path(options.run).expanduser()
    results = read_results(folder)
    if not (folder / RESULTS).is_file():
        msg = (
            f"{folder} is not finished ({results.protocol['images']} images), and a card is for others: give the sclip "
            "test command of the run again, which goes on where it ended. sclip report shows what there is so far."
        )
        raise ConfigError(msg)
    text = card(with_intervals(results, folder), options.name or folder.absolute().name)
    if options.output is None:
        sys.stdout.write(text)
        return
    target = Path(options.output).expanduser()
    if target.exists():
        raise ConfigError(f"--output {target} is there already. Give another name, or move it elsewhere.")
    write_text(target, text)
    sys.stdout.write(f"Written to {target}\n")
