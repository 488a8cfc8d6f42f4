"""Lists of words for what is no class, one a line."""

from pathlib import Path

from sclip_lightning.data.reading.layout import expand
from sclip_lightning.errors import DataError

__all__ = ["SCENE_WORDS", "read_words"]

#: Shipped: words for scenes and what they are made of, common ones first.
SCENE_WORDS = Path(__file__).parents[1] / "words/scene.txt"


def read_words(path: str | Path) -> tuple[str, ...]:
    """Read a UTF-8 text file with one word, or words, a line; empty lines and those that begin with # do not count.

    Raises:
        DataError: The file cannot be read, holds no word, or one twice.
    """
    path = expand(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The list of words {path} cannot be read: {error}. It must be a UTF-8 text file with one word a line."
        raise DataError(msg) from error
    words = [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    repeated = sorted({word for word in words if words.count(word) > 1})
    if not words or repeated:
        found = f"{repeated[0]!r} twice" if repeated else "no word"
        raise DataError(f"The list of words {path} has {found}. Expected one word a line, each once.")
    return tuple(words)
