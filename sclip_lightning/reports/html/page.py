"""Writing the page: a template for what is read at once, and blocks of data below it for pictures."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sclip_lightning import __version__
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.reports.html.content import KINDS, Report
from sclip_lightning.reports.html.packed import PackedImage

__all__ = ["check_target", "write_page"]

#: What a page begins with, by which one is known that may be replaced.
MARK = "<!doctype html>\n<!-- sclip report -->\n"
#: In a folder of thumbnails, for the same.
FOLDER_MARK = ".sclip-report"
#: Where the blocks of pictures go.
_BLOCKS = "<!-- pictures -->"
#: Images in a block: the page reads a block once one of its images is scrolled to.
BLOCK = 20
#: Of this package's own files, inlined into the page.
SCRIPTS = ("tables.js", "charts.js", "pictures.js", "gallery.js")

Picture = tuple[str, PackedImage | str]


def check_target(path: Path, beside: bool) -> None:
    """Make sure, before anything is computed, that the page may be written.

    Args:
        path: The page.
        beside: Thumbnails lie in a folder beside it.

    Raises:
        ConfigError: Something else is there that would be overwritten.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"--output {path} is a folder. Give the name of a file, such as {path / 'report.html'}.")
        if path.exists():
            with path.open("rb") as file:
                if file.read(len(MARK)) != MARK.encode():
                    msg = (
                        f"--output {path} is there already and no report of this command: it would be overwritten. "
                        "Give another name, or move it elsewhere."
                    )
                    raise ConfigError(msg)
        folder = thumbnail_folder(path)
        if beside and folder.exists() and not (folder / FOLDER_MARK).is_file():
            msg = (
                f"Thumbnails would be written to {folder}, which is there already and was not made by this command. "
                "Give another --output, or move it elsewhere."
            )
            raise ConfigError(msg)
    except OSError as error:
        raise ConfigError(f"--output {path} cannot be written ({error.strerror}). Give another name.") from error


def thumbnail_folder(path: Path) -> Path:
    """Where the thumbnails of a page lie that are not in it."""
    return path.with_name(f"{path.stem}_files")


def write_page(
    path: Path,
    report: Report,
    colours: npt.NDArray[np.uint8],
    chosen: dict[str, list[str]],
    pictures: Iterable[Picture],
    lacking: Sequence[str] = (),
    beside: bool = False,
) -> None:
    """Write the page, and its thumbnails if they lie beside it; nothing is replaced before all is written.

    Args:
        path: The page.
        report: What it says.
        colours: [C, 3] uint8 RGB.
        chosen: By id of an image, the kinds that it is shown for.
        pictures: For ids in the order of ``chosen``, the picture, or why there is none.
        lacking: What cannot be drawn, and how it could be.
        beside: Whether thumbnails lie beside the page.
    """
    places = {id_: place for place, id_ in enumerate(report.ids)}
    data = report.data | {
        "colours": colours.tolist(),
        "shown": [[places[id_], kinds] for id_, kinds in chosen.items()],
        "block": BLOCK,
        "kinds": {kind: KINDS[kind] for kind in dict.fromkeys(kind for kinds in chosen.values() for kind in kinds)},
    }
    values = {"report": report, "lacking": lacking, "data": data, "version": __version__, "drawn": bool(chosen)}
    head, tail = _environment().get_template("page.html").render(values).split(_BLOCKS)
    folder = thumbnail_folder(path) if beside else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FOLDER_MARK).touch()
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(MARK + head)
        for number, block in enumerate(_blocks(pictures)):
            file.write(f'<script type="application/json" id="block-{number}">')
            file.write(_json([_entry(places[id_], picture, folder) for id_, picture in block]))
            file.write("</script>\n")
        file.write(tail)


def _entry(place: int, picture: PackedImage | str, folder: Path | None) -> dict[str, Any]:
    if isinstance(picture, str):
        return {"why": picture}
    if folder is None:
        source = picture.data_url
    else:
        name = f"{place}.webp"
        (folder / name).write_bytes(picture.thumbnail)  # not synced one by one, which takes longer than drawing
        source = f"{folder.name}/{name}"
    return {"h": picture.height, "w": picture.width, "src": source, "maps": picture.maps, "has": picture.has}


def _blocks(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    iterator = iter(pictures)
    while block := list(islice(iterator, BLOCK)):
        yield block


def _json(value: Any) -> Markup:
    """JSON that may stand in a script: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    escapes: dict[str, str | int | None] = {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
    return Markup(text.translate(str.maketrans(escapes)))


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _points(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:+.2f}".replace("-", "−")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("sclip_lightning.reports.html", "static")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"percent": _percent, "points": _points, "data": _json}

    def own(name: str) -> Markup:
        """A file of ours, as it is."""
        text, _, _ = loader.get_source(environment, name)
        return Markup(text)

    environment.globals |= {"own": own, "scripts": SCRIPTS}
    return environment
