"""The ``sclip`` command: picks the subcommand before anything heavy is imported."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from sclip_lightning import __version__
from sclip_lightning.commands.help import ALL_HELP, SHORT_HELP
from sclip_lightning.errors import SclipError, StoppedError, message_of

__all__ = ["main"]

#: What each command does; ``sclip check-data`` is run by ``commands.check_data.run_check_data``.
_COMMANDS = {
    "predict": "segment your own images into your own classes",
    "app": "the same in the browser: type classes and look",
    "test": "segment a benchmark and score the result",
    "ablate": "test a configuration part by part",
    "vocabularies": "test a method under several class files",
    "reproduce": "run published rows again and hold them against their figures",
    "report": "print the scores of runs, finished or not",
    "compare": "compare two runs image by image",
    "board": "put many runs into one table, a column for each protocol",
    "card": "one run for people and for the Hugging Face Hub",
    "score": "score label maps that any method wrote",
    "check-data": "check a data set's files before anything is computed",
    "weights": "list published weights that fit, with a word on each",
    "make-regions": "make segment maps of images, for parts that read one",
}

_LIST = "\n".join(f"  {name:<12} {summary}" for name, summary in _COMMANDS.items())

_USAGE = f"""\
usage: sclip COMMAND [options]

Training-free open-vocabulary segmentation: evaluate it, or use it.

commands:
{_LIST}

sclip COMMAND --help says what a command takes, sclip COMMAND --help.all lists every option; sclip --version prints the
version.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``sclip`` with the given arguments, those of the process by default.

    Ends the process with 1 after an error that the user can correct, with 2 after one in the arguments.
    """
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        sys.stdout.write(_USAGE)
    elif command == "--version":
        sys.stdout.write(f"sclip_lightning {__version__}\n")
    elif command in _COMMANDS and command in SHORT_HELP and {"-h", "--help"} & {*rest}:
        sys.stdout.write(SHORT_HELP[command])
        sys.exit(0)
    elif command in _COMMANDS:
        rest = ["--help" if argument in ALL_HELP else argument for argument in rest]
        _run(command, rest)
    else:
        sys.stderr.write(f"{_USAGE}\nerror: there is no command {command!r}\n")
        sys.exit(2)


def _run(command: str, arguments: Sequence[str]) -> None:
    name = command.replace("-", "_")
    try:
        if command in SHORT_HELP:  # those with many options
            from sclip_lightning.commands.options import check_names

            check_names(command, arguments)
        getattr(import_module(f"sclip_lightning.commands.{name}"), f"run_{name}")(arguments)
    except SclipError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(StoppedError("Stopped at your request."))
    except ValueError as error:
        # jsonargparse wraps what a constructor raises.
        if not isinstance(error.__cause__, SclipError):
            raise
        _fail(error.__cause__)


def _fail(error: SclipError) -> NoReturn:
    what = "" if isinstance(error, StoppedError) else "error: "  # to be stopped is no error
    sys.stderr.write("\n".join([f"\n{what}{message_of(error)}", *error.hints, ""]))
    sys.exit(error.exit_code)
