"""Class files by the words that stand for them: the published one, the data set's own names, with distractors."""

from collections.abc import Sequence
from pathlib import Path

from sclip_lightning.data.reading.benchmark import CLASS_FOLDER
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.errors import ConfigError

__all__ = ["GIVEN", "PUBLISHED", "named_class_files"]

#: The names that a method's authors, else SCLIP's, published for a benchmark.
PUBLISHED = "published"
#: The names of own data.
GIVEN = "given"
#: Words for shipped files: ``voc21_plain.txt`` beside ``voc21.txt``.
_VARIANTS = ("plain", "distractors")


def named_class_files(data: SegmentationData, given: Sequence[str]) -> dict[str, str | list[str] | None]:
    """What ``--data.classes`` would be for each of several class files.

    Args:
        data: The benchmark.
        given: Any of ``published`` (``given`` for own data), ``plain``, ``distractors``, the path of a file, and the
            name of a shipped one. Without any, those words that there is something for.

    Returns:
        By the word, or the name of the file without suffix; in the order given.

    Raises:
        ConfigError: ``--data.classes`` is given for a benchmark, a word has no file for this one, two files have one
            name, or there is only one.
        DataError: A file cannot be used, or has another number of classes.
    """
    own = not hasattr(type(data), "published")
    first = GIVEN if own else PUBLISHED
    if not own and data.classes is not None:
        msg = f"--data.classes is {data.classes!r}, but here --class_files says which names to take. Name it there."
        raise ConfigError(msg)
    variants = {} if own else _variants(data)
    found: dict[str, str | list[str] | None] = {}
    for word in given or [first, *variants]:
        name, value = Path(word).stem, word
        if word == first:
            classes = data.classes
        elif word in variants:
            classes = variants[word]
        elif word in (PUBLISHED, GIVEN, *_VARIANTS):
            msg = (
                f"--class_files has {word!r}, but for {data.benchmark.name} there are only "
                f"{', '.join([first, *variants])} and files of yours. Leave it out, or give the path of a file."
            )
            raise ConfigError(msg)
        else:
            classes = value
        if name in found:
            raise ConfigError(f"--class_files has two files called {name}, but runs are called so. Rename one.")
        data.renamed(classes)  # what cannot be used is found before anything is computed
        found[name] = classes
    if len(found) < 2:
        msg = (
            f"There is one class file alone, {next(iter(found))}, which cannot be compared with another. Name several "
            "with --class_files."
        )
        raise ConfigError(msg)
    return found


def _variants(data: SegmentationData) -> dict[str, str | list[str]]:
    """Shipped files by the words for them; where no file has the data set's own names, they are listed."""
    stem = Path(type(data).published.class_file).stem
    files = {word: CLASS_FOLDER / f"{stem}_{word}.txt" for word in _VARIANTS}
    found: dict[str, str | list[str]] = {word: path.name for word, path in files.items() if path.is_file()}
    if "plain" not in found:
        found["plain"] = list(data.benchmark.classes)
    return found
