"""What names do to scores: one method under several class files, image by image and class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sclip_lightning.records.fold import region_scores
from sclip_lightning.reports.comparison import Difference, paired_bootstrap, remark_on
from sclip_lightning.reports.side_by_side import SideBySide
from sclip_lightning.reports.tables import Points

__all__ = ["class_rows", "largest_changes", "score_rows"]

#: Scores that an interval is given for.
METRICS = ("mIoU", "aAcc", "mAcc", "bF1@0.75pct", "bF1@3px")


def score_rows(names: Sequence[str], together: SideBySide) -> tuple[list[dict[str, Any]], list[str]]:
    """Scores under every class file, with the difference to the first.

    Args:
        names: Of the class files.
        together: Their runs.

    Returns:
        For each file and score a row: both scores and the bounds of the 95 % interval of the difference (paired
        bootstrap over images), as fractions; and what a reader must know.
    """
    rows, differences = [], list[Difference]()
    for name, table in zip(names, together.tables, strict=True):
        for difference in paired_bootstrap(together.tables[0], table):
            if difference.metric not in METRICS:
                continue
            row: dict[str, Any] = {"class file": name, "score": difference.metric, "value": difference.b}
            if name != names[0]:
                differences.append(difference)
                gain = difference.b - difference.a
                row |= {f"- {names[0]}": Points(gain), "from": Points(difference.low), "to": Points(difference.high)}
            rows.append(row)
    remark = remark_on(differences)
    return rows, [remark] if remark else []


def class_rows(
    names: Sequence[str], together: SideBySide, synonyms: Sequence[Sequence[Sequence[str]]]
) -> list[dict[str, Any]]:
    """The IoU of every class under every class file, and the words that stood for it.

    Args:
        names: Of the class files.
        together: Their runs.
        synonyms: By class file, the names of each class.
    """
    totals = [(table.hits.sum(0), table.true.sum(0), table.predicted.sum(0)) for table in together.tables]
    scores = [region_scores(*total)["IoU"] for total in totals]
    rows = []
    for index, class_ in enumerate(together.runs[0].classes):
        row: dict[str, Any] = {"class": class_}
        for name, ious in zip(names, scores, strict=True):
            row[name] = float(ious[index])
        for name, words in zip(names, synonyms, strict=True):
            row[f"names in {name}"] = ", ".join(words[index])
        rows.append(row)
    return rows


def largest_changes(names: Sequence[str], rows: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """The classes of :func:`class_rows` whose IoU changed most from the first file to another, without their words."""

    def change(row: dict[str, Any]) -> float:
        return float(np.nanmax([abs(row[name] - row[names[0]]) for name in names[1:]]))

    first, others = names[0], names[1:]
    changed = [row for row in rows if any(abs(row[name] - row[first]) > 0 for name in others)]
    return [
        {"class": row["class"], first: row[first]} | {name: Points(row[name] - row[first]) for name in others}
        for row in sorted(changed, key=lambda row: -change(row))[:number]
    ]
