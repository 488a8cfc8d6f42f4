"""Tables as text to read, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from sclip_lightning.reports.cells import csv_cell, csv_cells, latex_cell, markdown_cell, printable
from sclip_lightning.reports.results import percent, without_nan

__all__ = ["FORMATS", "TO_READ", "Format", "Marked", "Points", "heading", "remarks_below", "render"]

Format = Literal["table", "markdown", "latex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("table", "markdown", "latex", "csv", "json")
#: Formats that people read: percent with two decimals, and remarks below the table.
TO_READ: tuple[Format, ...] = ("table", "markdown", "latex")

#: How each format to read shows a text as it is.
_ESCAPES = {"table": printable, "markdown": markdown_cell, "latex": latex_cell}


class Points(float):
    """The difference of two fractions, shown in percentage points with its sign."""


class Marked(float):
    """A fraction with a mark that a remark below the table explains."""

    mark: str

    def __new__(cls, value: float, mark: str) -> "Marked":
        """Take both."""
        number = super().__new__(cls, value)
        number.mark = mark
        return number


def render(rows: Sequence[dict[str, Any]], format_: Format) -> str:
    """A table with one line per row.

    Args:
        rows: Their columns, a row may lack some; floats are fractions, NaN or None where there is no value.
        format_: ``table``, ``markdown`` and ``latex`` (which needs the package booktabs) show percent with two
            decimals, ``csv`` and ``json`` all digits of the fraction.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if format_ == "json":
        return json.dumps(without_nan([dict(row) for row in rows]), indent=2, ensure_ascii=False)
    if format_ == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [csv_cell(column) for column in columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(csv_cells(without_nan(dict(row))) for row in rows)
        return buffer.getvalue().rstrip("\n")
    head = [_ESCAPES[format_](column) for column in columns]
    body = [[_cell(row.get(column), format_) for column in columns] for row in rows]
    numeric = [any(isinstance(row.get(column), (int, float)) for row in rows) for column in columns]
    if format_ == "markdown":
        rule = ["---:" if right else "---" for right in numeric]
        return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body])
    if format_ == "latex":
        return _latex(head, body, numeric)
    for i, column in enumerate(columns):  # room for the longest mark after every number, so that digits stay aligned
        lengths = [len(f" {mark}") if (mark := _mark(row.get(column))) else 0 for row in rows]
        for row, line, length in zip(rows, body, lengths, strict=True):
            if isinstance(row.get(column), float):
                line[i] += " " * (max(lengths) - length)
    cells = [head, *body]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join(lines)


def heading(title: str, format_: Format) -> str:
    """A line above a table, for formats to read."""
    escaped = _ESCAPES[format_](title)
    return {"markdown": f"**{escaped}**", "latex": f"\\noindent\\textbf{{{escaped}}}\\par\\smallskip"}.get(
        format_, escaped
    )


def remarks_below(remarks: Sequence[str], format_: Format) -> str:
    """What stands below a table, a paragraph each, each once; nothing for formats that programs read."""
    if format_ not in TO_READ:
        return ""
    escaped = [_ESCAPES[format_](remark) for remark in dict.fromkeys(remarks)]
    if format_ == "latex":
        escaped = [f"\\par\\smallskip\\noindent{{\\footnotesize {remark}\\par}}" for remark in escaped]
    return "".join(f"\n{remark}\n" for remark in escaped)


def _latex(head: Sequence[str], body: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    lines = [f"{' & '.join(line)} \\\\" for line in (head, *body)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}; scores are in percent",
            f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
            "\\toprule",
            lines[0],
            "\\midrule",
            *lines[1:],
            "\\bottomrule",
            "\\end{tabular}",
        ]
    )


def _cell(value: Any, format_: Format) -> str:
    """A value as a format to read shows it."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    if missing:
        return "--" if format_ == "latex" else "-"
    if not isinstance(value, float):
        return _ESCAPES[format_](str(value))
    text = f"{100 * value:+.2f}" if isinstance(value, Points) else percent(value)
    if format_ == "latex":
        text = text.removesuffix(" %").replace("-", "$-$").replace("+", "$+$")
    mark = _mark(value)
    if not mark:
        return text
    # A single letter takes no room, so that digits stay aligned.
    raised = f"\\textsuperscript{{{mark}}}" if len(mark) > 1 else f"\\rlap{{\\textsuperscript{{{mark}}}}}"
    return text + (raised if format_ == "latex" else f" {mark}")


def _mark(value: Any) -> str:
    return value.mark if isinstance(value, Marked) else ""
