"""``sclip weights``: published weights that fit dense attention, and what is known of them. Imports no torch."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from sclip_lightning.errors import ConfigError

__all__ = ["TABLE", "Weights", "read_table", "run_weights", "word_on"]

#: What open_clip has, as ``python docs/weights.py`` writes it.
TABLE = Path(__file__).with_suffix(".csv")

_EPILOG = """\
Give a row as --model.architecture MODEL --model.weights TAG; open_clip fetches it once. Of your own: a checkpoint of
open_clip's training or of OpenAI (--model.weights FILE), a folder with open_clip's open_clip_config.json, or one that
transformers has saved a CLIPModel in (--model.architecture local-dir:FOLDER).
"""
_NOT_HERE = """\
Not listed, and refused before anything is fetched: SigLIP (patches are pooled by an attention of their own and are not
in the space of the texts), EVA and all other towers of timm (blocks of another kind), CoCa, ResNets."""


class Weights(NamedTuple):
    """Weights of open_clip.

    Attributes:
        architecture: The model's name.
        tag: Of the weights.
        layers: Number of blocks of the vision tower.
        patch: Side of a patch in pixels.
        image: Side of an image in pixels, as trained.
        kind: ``plain``; ``fetches`` where tokenizer or text tower are those of another library; ``mean`` where images
            are the mean of their patches.
    """

    architecture: str
    tag: str
    layers: int
    patch: int
    image: int
    kind: str


def read_table() -> tuple[list[Weights], str]:
    """All weights that fit, and the version of open_clip that has them."""
    head, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [
        Weights(row["architecture"], row["tag"], int(row["layers"]), int(row["patch"]), int(row["image"]), row["kind"])
        for row in csv.DictReader(lines)
    ]
    return rows, head.rpartition(" ")[2]


def word_on(weights: Weights) -> str:
    """What is known of them, in a few words; figures are published ones, none was measured here."""
    words = []
    size = {(12, 16): "B/16", (24, 14): "L/14", (12, 32): "B/32"}.get((weights.layers, weights.patch))
    if size == "B/16" and weights.tag == "openai":
        words.append("what nearly all published figures are for")
    if size == "B/16" and weights.tag == "metaclip_fullcc":
        words.append("+1.6 to +2.3 mIoU over openai in tables of methods; what CorrCLIP's authors use")
    if size == "B/16" and weights.tag == "laion2b_s34b_b88k":
        words.append("what LPOSS's authors use")
    if weights.tag.startswith(("commonpool_s_", "commonpool_m_", "datacomp_s_", "datacomp_m_")):
        words.append("a small run of a study of data, weak")
    if size in ("L/14", "B/32"):
        words.append(f"OpenAI's {size} collapses under SCLIP, not under SC-CLIP")
    if weights.layers > 24:
        words.append("large; methods with numbers by depth have none for it")
    if weights.kind == "fetches":
        words.append("tokenizer or text tower come from the Hugging Face Hub; not tried")
    if weights.kind == "mean":
        words.append("an image is the mean of its patches; no figure of dense attention is known")
    return "; ".join(words)


def run_weights(arguments: Sequence[str]) -> None:
    """Run ``sclip weights`` with the given arguments."""
    parser = argparse.ArgumentParser(
        prog="sclip weights",
        description="List published weights of open_clip that fit dense attention, with a word on each. Needs neither "
        "network nor weights.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("word", nargs="?", default="", help="only rows with this in them, such as metaclip or B-16")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="csv and json for programs")
    options = parser.parse_args(arguments)
    rows, made_for = read_table()
    wanted = options.word.casefold()
    chosen = [row for row in rows if wanted in f"{row.architecture} {row.tag}".casefold()]
    if not chosen:
        why = " ".join(_NOT_HERE.split())
        msg = f"None of the {len(rows)} weights that fit has {options.word!r} in its name. {why}"
        raise ConfigError(msg)
    entries = [{**row._asdict(), "word": word_on(row)} for row in chosen]
    if options.format == "json":
        sys.stdout.write(json.dumps(entries, indent=2) + "\n")
    elif options.format == "csv":
        writer = csv.DictWriter(sys.stdout, [*Weights._fields, "word"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    else:
        sys.stdout.write("\n".join([*_lines(chosen), "", _NOT_HERE, *_version(made_for), "", _EPILOG]))


def _lines(rows: Sequence[Weights]) -> list[str]:
    cells = [("model", "tag", "blocks", "patch", "image", "")]
    cells += [(r.architecture, r.tag, str(r.layers), str(r.patch), str(r.image), word_on(r)) for r in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(5)]
    form = "  ".join([*(f"{{:<{width}}}" for width in widths[:2]), *(f"{{:>{width}}}" for width in widths[2:]), "{}"])
    return [form.format(*row).rstrip() for row in cells]


def _version(made_for: str) -> list[str]:
    """A note where another version of open_clip is installed, which may have other weights."""
    try:
        installed = version("open_clip_torch")
    except PackageNotFoundError:
        return []
    return [f"This is what open_clip {made_for} has; installed is {installed}."] if installed != made_for else []
