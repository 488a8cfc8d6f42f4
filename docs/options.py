"""Writes the names of all options, by which a mistyped one is found at once: ``python docs/options.py``."""

import inspect
from argparse import Action
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args, get_type_hints
from unittest.mock import patch

from jsonargparse import ArgumentParser

from sclip_lightning.commands.options import ALSO, KNOWN

__all__ = ["COMMANDS", "listed"]

#: Commands that import torch before they have a parser.
COMMANDS = ("test", "ablate", "vocabularies", "app", "predict", "score", "make-regions")


class _FoundError(Exception):
    """Carries a command's parser out of it."""


def listed() -> str:
    """A command and an option a line, those of all the package's classes that an option can name included."""
    names = {command: {*_names(_parser_of(command))} for command in COMMANDS}
    for command in ALSO:
        names[command] -= names["test"]
    rows = {f"{command} {name}" for command in COMMANDS for name in names[command]}
    return "".join(f"{row}\n" for row in sorted(rows))


def _parser_of(command: str) -> ArgumentParser:
    def stop(parser: ArgumentParser, *_: Any, **__: Any) -> None:
        raise _FoundError(parser)

    name = command.replace("-", "_")
    with patch.object(ArgumentParser, "parse_args", stop):
        try:
            getattr(import_module(f"sclip_lightning.commands.{name}"), f"run_{name}")([])
        except _FoundError as found:
            (parser,) = found.args
    return parser


def _names(parser: ArgumentParser) -> Iterator[str]:
    action: Action
    for action in parser._actions:
        for option in action.option_strings:
            name = option.removeprefix("--")
            if not name.startswith(("-", "trainer")) and not name.endswith(".help"):
                yield name  # or, to append to a list, name+
                yield from _below(name.removesuffix("+"), getattr(action, "_typehint", None))


def _below(name: str, hint: Any) -> Iterator[str]:
    """Names of the options of all classes that an option's type allows, and of the classes that these take."""
    for one in get_args(hint):
        yield from _below(name, one)
    if not inspect.isclass(hint) or not hint.__module__.startswith("sclip_lightning"):
        return
    for subclass in hint.__subclasses__():
        yield from _below(name, subclass)
    for base in inspect.getmro(hint):
        if "__init__" in vars(base) and base is not object:
            hints = get_type_hints(base.__init__)
            for parameter in list(inspect.signature(base.__init__).parameters.values())[1:]:
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                    yield f"{name}.{parameter.name}"
                    yield from _below(f"{name}.{parameter.name}", hints.get(parameter.name))


if __name__ == "__main__":
    KNOWN.write_text(listed(), encoding="utf-8")
