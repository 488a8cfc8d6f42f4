"""A board as a page by itself: one file that a browser opens without server or network."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sclip_lightning import __version__
from sclip_lightning.reports.board import PUBLISHED, Board

__all__ = ["html_board"]

_STATIC = Path(__file__).parent / "static"


def html_board(made: Board) -> str:
    """The table, its remarks and its protocols."""
    style = (_STATIC / "page.css").read_text(encoding="utf-8")
    return _template().render(board=made, style=style, version=__version__, published=PUBLISHED)


@lru_cache(1)
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("sclip_lightning.reports.html", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("board.html")
