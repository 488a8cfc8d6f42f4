"""Cells of tables: names come from files and from users, and no name may become markup, a formula, or another row."""

import re
import unicodedata
from typing import Any

__all__ = ["csv_cell", "csv_cells", "fenced", "latex_cell", "markdown_cell", "printable"]

#: How a cell begins that spreadsheets compute (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@")
#: What begins or ends emphasis, code, links, HTML, entities and cells in GitHub's and in TensorBoard's Markdown. An
#: underscore inside a word means nothing in either, and neither does a bracket that no parenthesis or bracket follows.
_MARKUP = re.compile(r"[\\`*|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[])|!(?=\[)")
_HTML = re.compile(r"<|>|&(?=#?\w+;)|~(?=~)|(?<=~)~")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "~": "&#126;"}
#: What LaTeX takes for commands, or prints as something else in one of its usual fonts. An opening bracket or a star in
#: the first cell of a row would be an argument of the ``\\`` before it.
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "*": "{*}",
}
#: Characters of which LaTeX makes another one where two or three follow each other.
_LATEX_LIGATURES = re.compile(r"(?<=-)-|(?<=')'|(?<=,),|(?<=[?!])`")


def printable(text: str) -> str:
    """The text on one line, with escapes in place of line breaks, terminal commands and turns of direction."""
    return "".join(c.encode("unicode_escape").decode() if _is_control(c) else c for c in text)


def markdown_cell(text: str) -> str:
    """The text as a cell of a Markdown table that shows just that."""
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", printable(text))
    return _HTML.sub(lambda found: _ENTITIES[found[0]], escaped)


def latex_cell(text: str) -> str:
    """The text as a cell of a LaTeX table that shows just that."""
    apart = _LATEX_LIGATURES.sub(lambda found: f"\0{found[0]}", printable(text))
    return "".join("{}" if character == "\0" else _LATEX.get(character, character) for character in apart)


def csv_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a CSV file whose texts no spreadsheet takes for formulas: an apostrophe stands before those it would."""
    return {csv_cell(name): csv_cell(value) for name, value in row.items()}


def csv_cell(value: Any) -> Any:
    """One cell; numbers stay what they are, and texts stay on their line."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_control(character: str) -> bool:
    joins = character in "\u200c\u200d"  # inside words of some languages, and inside emoji
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joins


def fenced(text: str, language: str = "") -> str:
    """A Markdown block that shows a text as it is, whatever backticks are in it."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}{language}\n{text}\n{fence}"
