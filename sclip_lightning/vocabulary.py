"""The classes an image is segmented into: their names, colours, and the constants that go with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import shorten

import numpy as np
import numpy.typing as npt

from sclip_lightning.data.reading.benchmark import Benchmark, Protocol, read_class_file
from sclip_lightning.errors import ConfigError
from sclip_lightning.pictures.palette import BACKGROUND_COLOUR, class_colours

__all__ = ["BACKGROUND", "Classes", "Vocabulary"]

#: What classes can be given as; see :meth:`Vocabulary.parse`.
Classes = str | Sequence[str | Sequence[str]] | Mapping[str, str | Sequence[str]]

#: Name of the class that takes what is none of the others.
BACKGROUND = "background"

#: Constants for own classes: what SCLIP's and ResCLIP's authors agree on for most benchmarks without a background.
OWN = Protocol(short_side=336)
#: With a background: as SCLIP's authors set them for COCO-Object, everyday scenes with a background.
BACKGROUND_LOGIT_SCALE, BACKGROUND_PROB_THRESHOLD = 50.0, 0.1


@dataclass(frozen=True)
class Vocabulary:
    """Classes with all that a segmentor needs to know about them.

    Attributes:
        names: C names, for legends and tables.
        synonyms: The prompt names (queries) of each class.
        palette: [C, 3] uint8 RGB.
        has_background: Class 0 is what none of the others is; only then can uncertain pixels be given to it.
        benchmark: Name of the benchmark whose classes these are, under which methods' files list their numbers; None
            for own classes.
        protocol: Constants where the user sets none: this package's for own classes; None for a benchmark that
            methods' files have protocols for.
        background_added: Whether class 0 was added to a benchmark's or own classes; see :meth:`adapt`.
    """

    names: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    palette: npt.NDArray[np.uint8] = field(repr=False, compare=False)
    has_background: bool = False
    benchmark: str | None = None
    protocol: Protocol | None = OWN
    background_added: bool = False

    @classmethod
    def of(cls, benchmark: Benchmark) -> "Vocabulary":
        """A benchmark's classes; which protocol they are evaluated under is for the methods' files to say."""
        return cls(
            benchmark.classes,
            benchmark.synonyms,
            benchmark.palette,
            has_background=benchmark.classes[0] == BACKGROUND,
            benchmark=benchmark.name,
            protocol=benchmark.protocol,
        )

    @classmethod
    def parse(cls, classes: Classes, background: bool | Sequence[str] = False) -> "Vocabulary":
        """Take classes as a user gives them.

        Args:
            classes: One of

                - a text, ``"cat, grass=lawn|meadow, sky"``: classes split by commas, a name and its synonyms by ``=``
                  and ``|``;
                - a list of such classes, or of lists of names: ``["cat", "grass=lawn|meadow", ["sky", "clouds"]]``;
                - a mapping from name to synonyms: ``{"cat": [], "grass": ["lawn", "meadow"]}``.

                The name itself is always one of the queries. A first class called "background" is one.
            background: Add a background as class 0, or one of these words; see :meth:`with_background`.

        Raises:
            ConfigError: There are no classes, only one without a background, an empty name, or a name that two classes
                share.
        """
        entries: list[list[str]]
        if isinstance(classes, Mapping):
            entries = [[name, *([words] if isinstance(words, str) else words)] for name, words in classes.items()]
        else:
            listed = classes.split(",") if isinstance(classes, str) else classes
            entries = [_split(entry) if isinstance(entry, str) else list(entry) for entry in listed]
        synonyms = tuple(tuple(" ".join(str(word).split()) for word in words) for words in entries)
        _check(synonyms, shorten(repr(classes), 80, placeholder=" ..."))
        has_background = _same(synonyms[0][0], BACKGROUND)
        vocabulary = cls(
            tuple(words[0] for words in synonyms),
            synonyms,
            _colours(synonyms, has_background),
            has_background,
            protocol=_for_background(OWN) if has_background else OWN,
        )
        if background is not False:
            return vocabulary.with_background(None if background is True else background)
        if len(synonyms) == 1:
            msg = (
                f"The only class is {synonyms[0][0]!r}, so it would take every pixel. Name at least one more, or add a "
                "background (--background; background=True in Python)."
            )
            raise ConfigError(msg)
        return vocabulary

    def with_background(self, words: Sequence[str] | None = None) -> "Vocabulary":
        """The same with a background as class 0.

        Without words, its names are the 26 for stuff (sky, wall, tree, ...) that SCLIP's authors prompt VOC21's and
        COCO-Object's background with (Wang et al., ECCV 2024, released configurations), less those that name a class
        here; uncertain pixels become background, too. Palette and constants are this package's choice for own classes;
        of a benchmark's constants only scale and threshold change (:meth:`adapt`).

        Args:
            words: Names of the background instead of the published ones; those that name a class are left out, too.

        Raises:
            ConfigError: There is a background already, or all its words name classes.
        """
        if self.has_background or any(_same(name, BACKGROUND) for name in self.names):
            msg = "The classes already have one called 'background'. Leave it out of the list, or drop --background."
            raise ConfigError(msg)
        taken = {_key(word) for names in self.synonyms for word in names}
        offered = read_class_file("voc21.txt")[0] if words is None else words
        names = tuple(word for word in dict.fromkeys(offered) if word and _key(word) not in taken)
        if not names:
            msg = (
                "Every word for the background names a class already, so nothing is left for it. Give other words "
                "(--background FILE), or drop --background."
            )
            raise ConfigError(msg)
        return replace(
            self,
            names=(BACKGROUND, *self.names),
            synonyms=(names, *self.synonyms),
            palette=np.concatenate([np.array([BACKGROUND_COLOUR], np.uint8), self.palette]),
            has_background=True,
            protocol=None if self.protocol is None else _for_background(self.protocol),
            background_added=True,
        )

    def adapt(self, protocol: Protocol) -> Protocol:
        """A protocol for these classes: with a scale and a threshold that go with a background, where one was added.

        Args:
            protocol: ``self.protocol``, or where that is None a method's protocol for the benchmark.
        """
        return _for_background(protocol) if self.background_added else protocol


def _for_background(protocol: Protocol) -> Protocol:
    """The background as class 0 with its scale and threshold; applied twice it does no more than once."""
    scale, threshold = BACKGROUND_LOGIT_SCALE, BACKGROUND_PROB_THRESHOLD
    return replace(protocol, logit_scale=scale, prob_threshold=threshold, background=0)


def _split(entry: str) -> list[str]:
    """``grass=lawn|meadow`` to grass, lawn, meadow."""
    return re.split(r"[=|]", entry)


def _check(synonyms: Sequence[Sequence[str]], source: str) -> None:
    form = 'Expected names split by commas, synonyms by = and |: "cat, grass=lawn|meadow, sky".'
    if not synonyms or not any(any(words) for words in synonyms):
        msg = f"There are no classes in {source} (--classes). {form}"
        raise ConfigError(msg)
    seen: dict[str, str] = {}
    for number, words in enumerate(synonyms, start=1):
        if not words or "" in words:
            msg = f"Class {number} of {source} (--classes) has an empty name. {form}"
            raise ConfigError(msg)
        for word in words:
            if _key(word) in seen:
                where = f"both {seen[_key(word)]!r} and {words[0]!r}" if seen[_key(word)] != words[0] else repr(word)
                msg = (
                    f"The name {word!r} stands twice in --classes, for {where}: no pixel could be told apart by it. "
                    "(CLIP does not see the case of letters.) Name each class once, in its own words."
                )
                raise ConfigError(msg)
            seen[_key(word)] = words[0]


def _key(word: str) -> str:
    """CLIP's tokenizer lower-cases its input, so case makes no other name."""
    return word.casefold()


def _same(a: str, b: str) -> bool:
    return _key(a) == _key(b)


def _colours(synonyms: Sequence[Sequence[str]], has_background: bool) -> npt.NDArray[np.uint8]:
    if not has_background:
        return class_colours(synonyms)
    return np.concatenate([np.array([BACKGROUND_COLOUR], np.uint8), class_colours(synonyms[1:])])
