"""The command line of ``sclip reproduce``: which rows, and what is left for ``sclip test``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sclip_lightning.errors import UsageError
from sclip_lightning.reproducing.rows import DEMO

__all__ = ["Asked", "parse_asked"]


@dataclass
class Asked:
    """What a command line asks for.

    Attributes:
        methods: Keys of methods, or ``demo``.
        benchmarks: Only rows on these; all without.
        titles: Only lists of figures whose titles have one of these in them.
        every: All methods.
        check: Only say what is missing.
        help: Only say what there is to ask for.
        output_dir: Where runs land.
        given: All other arguments, which are for ``sclip test``.
    """

    methods: list[str] = field(default_factory=list)
    benchmarks: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    every: bool = False
    check: bool = False
    help: bool = False
    output_dir: str = "lightning_logs"
    given: list[str] = field(default_factory=list)


def parse_asked(arguments: Sequence[str]) -> Asked:
    """What arguments ask for.

    Methods come first. What is no option of this command is one of ``sclip test``, with all that follows up to the next
    option: only that command's parser knows how many values it takes.

    Raises:
        UsageError: No method is named, an option lacks its value, or one would give all runs one name.
    """
    asked = Asked()
    lists = {"--data": asked.benchmarks, "--figures": asked.titles}
    taker: list[str] = asked.methods
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        option, equals, value = argument.partition("=")
        if option in lists or option == "--output_dir":
            if not equals and (not waiting or waiting[0].startswith("-")):
                raise UsageError(f"{option} needs a value. sclip reproduce --help says which.")
            taker = lists.get(option, [])
            if option in lists:
                taker += [value] if equals else []
            else:
                asked.output_dir = value if equals else waiting.pop(0)
        elif option in ("-h", "--help", "--all", "--check"):
            asked.help |= option in ("-h", "--help")
            asked.every |= option == "--all"
            asked.check |= option == "--check"
        elif option in ("--name", "--method"):
            raise UsageError(f"{option} would be that of all rows: leave it out. Methods are named without an option.")
        else:
            taker = asked.given if argument.startswith("-") else taker
            taker.append(argument)
    if bool(asked.methods) == asked.every and not asked.help:
        msg = f"Name a method, {DEMO}, or --all for all methods, and not both. sclip reproduce --help says more."
        raise UsageError(msg)
    return asked
