"""Tables as text to read, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from sclip_lightning.reports.cells import csv_cell, csv_cells, markdown_cell, printable
from sclip_lightning.reports.results import percent, without_nan

__all__ = ["FORMATS", "Format", "render"]

Format = Literal["table", "markdown", "csv", "json"]
FORMATS: tuple[Format, ...] = ("table", "markdown", "csv", "json")


def render(rows: Sequence[dict[str, Any]], format_: Format) -> str:
    """A table with one line per row.

    Args:
        rows: Their columns, a row may lack some; floats are fractions, NaN or None where there is no value.
        format_: ``table`` and ``markdown`` show percent with two decimals, ``csv`` and ``json`` all digits of the
            fraction.
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
    escape = markdown_cell if format_ == "markdown" else printable
    texts = [columns] + [[_cell(row.get(column)) for column in columns] for row in rows]
    cells = [[escape(text) for text in line] for line in texts]
    numeric = [any(isinstance(row.get(column), (int, float)) for row in rows) for column in columns]
    if format_ == "markdown":
        rule = ["---:" if right else "---" for right in numeric]
        ruled = [cells[0], rule, *cells[1:]]
        return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return percent(value)
    return str(value)
