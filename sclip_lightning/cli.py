"""The ``sclip`` command: picks the subcommand before anything heavy is imported."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from sclip_lightning import __version__
from sclip_lightning.errors import SclipError, StoppedError, message_of

__all__ = ["main"]

_USAGE = """\
usage: sclip COMMAND [options]

Evaluate training-free open-vocabulary segmentation.

commands:
  test     segment a benchmark and score the result
  score    score label maps that any method wrote
  report   print the scores of runs, finished or not
  compare  compare two runs image by image

sclip COMMAND --help lists a command's options; sclip --version prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``sclip`` with the given arguments, those of the process by default.

    Ends the process with 1 after an error that the user can mend, with 2 after one in the arguments.
    """
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        if command == "test":
            from sclip_lightning.commands.test import run_test

            run_test(rest)
        elif command == "score":
            from sclip_lightning.commands.score import run_score

            run_score(rest)
        elif command == "report":
            from sclip_lightning.commands.report import run_report

            run_report(rest)
        elif command == "compare":
            from sclip_lightning.commands.compare import run_compare

            run_compare(rest)
        elif command in ("-h", "--help"):
            sys.stdout.write(_USAGE)
        elif command == "--version":
            sys.stdout.write(f"sclip_lightning {__version__}\n")
        else:
            sys.stderr.write(f"{_USAGE}\nerror: there is no command {command!r}\n")
            sys.exit(2)
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
    sys.stderr.write(f"\nerror: {message_of(error)}\n")
    sys.exit(error.exit_code)
