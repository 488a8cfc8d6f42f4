"""Mistyped options, found before torch and Lightning are imported, which takes seconds.

``options.txt`` holds the names of all options of the commands that import them. Only what is not in it is refused here,
and only where no class of the user's can be in play, whose options have any names: all else is for the parser.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sclip_lightning.commands.parsing.configs import contents, expand_method, resolve_arguments
from sclip_lightning.commands.parsing.imports import CLASS_PATH
from sclip_lightning.commands.parsing.mistakes import no_such_option
from sclip_lightning.errors import UsageError

__all__ = ["ALSO", "KNOWN", "check_names", "known_options"]

#: A command and an option a line, as ``python docs/options.py`` writes them.
KNOWN = Path(__file__).with_suffix(".txt")

#: Commands that take the options of ``sclip test``, too.
ALSO = ("ablate", "vocabularies")
#: Spelled out before there is a parser.
_SHORT = ("allow_modules", "method", "protocol")
#: Lightning's own options, which differ from release to release.
_LIGHTNING = "trainer"
#: What the parser knows of every class.
_OF_EVERY_CLASS = {"class_path", "dict_kwargs", "help"}


def check_names(command: str, arguments: Sequence[str]) -> None:
    """Refuse an option that neither the command nor any class of this package has.

    Args:
        command: As it is typed.
        arguments: What follows it.

    Raises:
        UsageError: There is one; it says which was probably meant. Or a configuration has no options in a section.
        ConfigError: There is no configuration or method of a name given.
    """
    known = known_options(command)
    if not known:
        return
    configurations = list(contents(resolve_arguments(expand_method(arguments))))
    _check_sections(configurations, known)
    if _may_name_own_classes(arguments, configurations, known):
        return
    for argument in arguments:
        name = argument.partition("=")[0].removeprefix("--")
        if argument.startswith("--") and name and not _is_known(name, known):
            raise UsageError(no_such_option(name, known, f"sclip {command}"))


def known_options(command: str) -> set[str]:
    """Names of a command's options without dashes, those of all the package's classes; none where it starts at once."""
    rows = (line.split() for line in KNOWN.read_text(encoding="utf-8").splitlines())
    commands = ("test", command) if command in ALSO else (command,)
    return {name for one, name in rows if one in commands}


def _check_sections(configurations: Sequence[tuple[str, dict[str, Any]]], known: set[str]) -> None:
    """Refuse a configuration with a number or a list in the place of a section, over which the parser stumbles."""
    for path, content in configurations:
        for section, value in content.items():
            is_section = section == _LIGHTNING or any(name.startswith(f"{section}.") for name in known)
            if is_section and not isinstance(value, dict | str | None):
                msg = f"{path}: {section} is {value!r}; expected options, each with its value, below {section}."
                raise UsageError(msg)


def _may_name_own_classes(
    arguments: Sequence[str], configurations: Sequence[tuple[str, dict[str, Any]]], known: set[str]
) -> bool:
    """Whether a class of the user's is named, on the command line or in a configuration, or in a file named there."""
    for argument, following in pairwise([*arguments, ""]):
        option, equals, value = argument.partition("=")
        value, section = value if equals else following, f"{option.removeprefix('--')}."
        if _is_own(value) or (any(name.startswith(section) for name in known) and _is_file(value)):
            return True
    for path, content in configurations:
        if any(_is_own(value) or _is_file(value, Path(path).parent) for value in _strings(content)):
            return True
    return False


def _is_own(value: str) -> bool:
    return any(not path.startswith(("sclip_lightning.", "lightning.")) for path in CLASS_PATH.findall(value))


def _is_file(value: str, *folders: Path) -> bool:
    try:
        return any((folder / value).expanduser().is_file() for folder in (Path(), *folders))
    except (OSError, RuntimeError, ValueError):  # what no path can be, such as a long text
        return False


def _strings(content: Any) -> Iterator[str]:
    """All texts in what a configuration holds."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _strings(item)


def _is_known(name: str, known: set[str]) -> bool:
    parts = name.removesuffix("+").split(".")
    if parts[0] == _LIGHTNING or name in _SHORT or _OF_EVERY_CLASS & {*parts[1:]}:
        return True
    return ".".join(part for part in parts if part != "init_args") in known
