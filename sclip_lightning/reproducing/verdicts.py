"""Whether a run is the published experiment, and whether it came to the published figures."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from sclip_lightning.reports.published import Figure, judged
from sclip_lightning.reports.results import Results
from sclip_lightning.reproducing.rows import Row

__all__ = ["held_against"]

#: Options by which a run is another experiment; and those of --model that only bound memory.
_CHANGING = ("--model.", "--data.classes", "--data.short_side", "--config", "-c", "--protocol", "--method")
_HARMLESS = ("--model.window_batch_size",)
#: How options end that name a file of weights, which may well be the published ones.
_WEIGHTS = ".weights"


def held_against(row: Row, results: Results, images: int | None, given: Sequence[str] = ()) -> list[Figure]:
    """The figures of a row, each with what a run says of it.

    Args:
        row: The row that was run.
        results: What it came to.
        images: Number of images in the published split; None where nobody published one.
        given: What ``sclip test`` was given besides the row's own arguments.
    """
    changed = [f"{option} {value} was given".rstrip() for option, value in _options(given) if _changes(option, value)]
    done, _, whole = str(results.protocol["images"]).partition(" of ")
    wanted = str(row.images or images or whole)
    if done != wanted:
        changed.append(f"{done} images were scored, of {wanted}")
    precision = str(results.protocol.get("precision", "unknown"))
    reasons = [
        f"weights are {value} ({option}): that they are the published ones is for you to say"
        for option, value in _options(given)
        if _is_file(option, value)
    ]
    if precision != "32-true" or any(figure.precision != "32 bit" for figure in row.figures):
        reasons.append(f"networks ran in {precision} here; most authors' codes run them in float16")
    reasons += [f"done differently here: {one}" for one in row.reasons]
    return [
        judged(figure, results.metrics.get(figure.metric), precision, changed, [*reasons, *results.notes])
        for figure in row.figures
    ]


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and their values, one by one; nothing for one that stands alone."""
    for argument, following in pairwise([*arguments, "--"]):
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            yield option, value if equals or following.startswith("-") else following


def _changes(option: str, value: str) -> bool:
    return option.startswith(_CHANGING) and option not in _HARMLESS and not _is_file(option, value)


def _is_file(option: str, value: str) -> bool:
    """Whether an option names a file of weights; another tag of open_clip's is no file."""
    return option.endswith(_WEIGHTS) and Path(value).expanduser().is_file()
