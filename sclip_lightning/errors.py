"""Errors a user can correct.

Every one of them is a single paragraph that names the file or option, what was found, what was expected and what to
do. The command line prints the paragraph and exits with 1; no traceback is needed to act on it.
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "RunError",
    "SclipError",
    "StoppedError",
    "UsageError",
    "counted",
    "message_of",
]


class SclipError(Exception):
    """Base of all errors that a user can correct.

    Attributes:
        exit_code: What the command line ends with.
        hints: Lines that the command line prints below the paragraph: what else there is to do.
    """

    exit_code = 1
    hints: tuple[str, ...] = ()


class ConfigError(SclipError):
    """An option, a config file or an output folder cannot be used as given."""


class UsageError(ConfigError):
    """The arguments of a command cannot be understood."""

    exit_code = 2


class DataError(SclipError):
    """An image, a mask, a class file or a folder is missing, unreadable or not what the benchmark expects."""


class CheckpointError(SclipError):
    """Weights cannot be found, read, or fitted to the model."""


class RunError(SclipError):
    """A run cannot be continued, read or completed."""


class StoppedError(SclipError):
    """A run was stopped from outside; what it finished is recorded."""

    exit_code = 130  # what shells give a command that Ctrl-C ended


def message_of(error: SclipError) -> str:
    """The paragraph of an error, also of one that a DataLoader worker raised and torch wrapped into a traceback."""
    last_line = str(error).strip().splitlines()[-1]
    return last_line.split(f"{type(error).__name__}: ", 1)[-1]


def counted(number: int, one: str, many: str) -> str:
    """A number with the words that go with it: "1 image was", "2 images were"."""
    return f"{number} {one if number == 1 else many}"
