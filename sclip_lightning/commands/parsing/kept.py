"""Parsers, kept for the next command of the process: to make one takes longer than to use it. Imports nothing heavy."""

from collections.abc import Callable
from typing import TypeVar

from jsonargparse import ArgumentParser

__all__ = ["keep", "take"]

_Parser = TypeVar("_Parser", bound=ArgumentParser)

_KEPT: dict[object, ArgumentParser] = {}


def take(command: object, make: Callable[[], _Parser]) -> _Parser:
    """The parser that this command has left, else a new one.

    It must be given back by ``keep``, and only after it has parsed: one that has found a mistake, or has printed
    something instead, may have kept half of what it was to do.

    Args:
        command: Whose it is.
        make: Makes it.
    """
    return _KEPT.pop(command, None) or make()  # type: ignore[return-value, arg-type]  # the command's own


def keep(command: object, parser: ArgumentParser) -> None:
    """Leave a parser that has parsed to the next command of the same kind."""
    _KEPT[command] = parser
