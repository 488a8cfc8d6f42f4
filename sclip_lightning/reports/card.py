"""A card: one run for people, in Markdown, and for the Hugging Face Hub, in the ``model-index`` above it.

Keys of the metadata are those of the Hub's model cards: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from typing import Any

import yaml

from sclip_lightning import __version__
from sclip_lightning.reports.cells import fenced, markdown_cell
from sclip_lightning.reports.methods import is_evaluation
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.tables import render

__all__ = ["CARD", "card"]

#: What the file is called where it lies beside a run.
CARD = "README.md"
#: The Hub's names of scores, where it has any.
_TYPES = {"mIoU": "mean_iou", "aAcc": "accuracy", "mAcc": "mean_accuracy", "mF1": "f1"}


def card(results: Results, name: str) -> str:
    """The card of a run.

    Args:
        results: What it came to.
        name: What was evaluated.
    """
    head = yaml.safe_dump(_metadata(results, name), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        f"# {markdown_cell(name)} on {markdown_cell(results.benchmark)}",
        render([_score(results, metric) for metric in results.metrics], "markdown"),
        "In brackets: the 95 % interval over images of the same kind (bootstrap)." if results.intervals else "",
        *_published(results),
        *([f"## Notes\n\n{_bullets(results.notes)}"] if results.notes else []),
        f"## Protocol\n\n{_entries(results.protocol)}",
        f"## Classes\n\n{results.markdown()}" if results.classes else "",
        f"## How it ran\n\n{_entries({**results.performance, **results.environment})}",
        "## Run again\n\nWith the run's `config.yaml`, in which the data's folder has to be yours:\n\n"
        + fenced("sclip test --config config.yaml --data.root FOLDER", "sh"),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _metadata(results: Results, name: str) -> dict[str, Any]:
    """What the Hub reads. Scores are in percent, as papers print them; how they were evaluated is in ``args``."""
    evaluated = {key: value for key, value in results.protocol.items() if is_evaluation(key)}
    metrics = [
        {
            "type": _TYPES.get(metric, metric),
            "value": round(100 * score, 2),
            "name": f"{metric} (%)",
            **({"args": {"interval_95": [round(100 * bound, 2) for bound in bounds]}} if bounds else {}),
        }
        for metric, score in results.metrics.items()
        if score is not None
        for bounds in [results.intervals.get(metric)]
    ]
    result = {
        "task": {"type": "image-segmentation", "name": "Open-vocabulary semantic segmentation"},
        "dataset": {"type": results.benchmark.lower(), "name": results.benchmark, "args": evaluated},
        "metrics": metrics,
    }
    return {
        "pipeline_tag": "image-segmentation",
        "library_name": "sclip_lightning",
        "tags": ["open-vocabulary-segmentation", "training-free", f"sclip_lightning-{__version__}"],
        "model-index": [{"name": name, "results": [result]}],
    }


def _score(results: Results, metric: str) -> dict[str, Any]:
    bounds = results.intervals.get(metric)
    interval = f"[{100 * bounds[0]:.2f}, {100 * bounds[1]:.2f}]" if bounds else "-"
    return {"score": metric, "value": results.metrics[metric], "interval": interval}


def _published(results: Results) -> list[str]:
    """What came of holding the run against published figures, if it was."""
    if not results.published:
        return []
    rows = [
        {
            "published by": f"{figure.method}, {figure.title}",
            "score": figure.metric,
            "published": figure.published_text(),
            "measured": figure.measured_text(),
            "difference": figure.difference_text(),
            "allowed": f"{figure.reach:.3g}",
            "verdict": figure.verdict or "-",
        }
        for figure in results.published
    ]
    reasons = list(dict.fromkeys(reason for figure in results.published for reason in figure.reasons))
    sources = list(dict.fromkeys(f"{one.title}: {one.source}; {one.weights}".rstrip("; ") for one in results.published))
    parts = [f"## Beside what is published\n\n{render(rows, 'markdown')}", f"Sources:\n\n{_bullets(sources)}"]
    return [*parts, *([f"What may keep a run from these figures:\n\n{_bullets(reasons)}"] if reasons else [])]


def _entries(entries: dict[str, Any]) -> str:
    return render([{"": name, " ": _text(value)} for name, value in entries.items()], "markdown")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {markdown_cell(line)}" for line in lines)
