"""Which classes a configuration may name: the package's own, Lightning's, and those of modules that the user allows.

A configuration names classes by their import path, and importing a module runs it. A file from somebody else could so
run a ``helper.py`` that lies where you stand. What the user types himself is allowed; what stands in a file only if it
lies in a module of this package, of Lightning, or one that ``--allow_modules`` or ``$SCLIP_ALLOW_MODULES`` names.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from sclip_lightning.commands.parsing.mistakes import describe_mistake
from sclip_lightning.errors import ConfigError, UsageError

__all__ = ["ALLOW_HELP", "ALLOW_VARIABLE", "CLASS_PATH", "GuardedParser", "allow_imports"]

#: Environment variable with further modules, split by commas.
ALLOW_VARIABLE = "SCLIP_ALLOW_MODULES"
#: What the help of a command that takes configurations says about them.
ALLOW_HELP = (
    "Configurations may name classes of sclip_lightning and of Lightning alone; --allow_modules NAME[,NAME] (or "
    f"${ALLOW_VARIABLE}) lets them name those of other modules, too, whose code is then run."
)

#: Modules whose classes any configuration may name: loggers, callbacks and strategies come from Lightning.
_ALWAYS = ("sclip_lightning", "lightning.pytorch", "lightning.fabric")
#: The import path of a class in the value of an option, by itself or in braces.
CLASS_PATH = re.compile(r"(?<![\w./\\-])(?:[A-Za-z_]\w*\.)+[A-Z]\w*(?![\w./\\-])")
#: How jsonargparse says that a name may not be imported; or this module, inside what another parser says.
_DENIED = re.compile(r"(?:Importing '|A configuration names )([\w.]+\w)(?:' is not allowed|, which)")


def allow_imports(arguments: Sequence[str]) -> list[str]:
    """From now on, let no configuration name a class of a module that is not allowed.

    Args:
        arguments: Those of the command: the modules after ``--allow_modules`` are allowed, and the packages of classes
            that stand in other options' values, since the user has typed these.

    Returns:
        The arguments without ``--allow_modules``. A configuration cannot set it.

    Raises:
        ConfigError: ``--allow_modules`` is given no name of a module.
    """
    remaining: list[str] = []
    allowed = [*_ALWAYS, *_names(os.environ.get(ALLOW_VARIABLE, ""), f"${ALLOW_VARIABLE}")]
    iterator = iter(arguments)
    for argument in iterator:
        option, equals, value = argument.partition("=")
        if option == "--allow_modules":
            value = value if equals else next(iterator, "")
            allowed += _names(value or "-", option)
            continue
        remaining.append(argument)
        is_file = option == "--config" or (len(remaining) > 1 and remaining[-2] in ("--config", "-c"))
        if not is_file:
            typed = value if option.startswith("-") else argument
            allowed += [path.partition(".")[0] for path in CLASS_PATH.findall(typed)]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*dict.fromkeys(allowed)])
    return remaining


class GuardedParser(ArgumentParser):
    """A parser that says in a sentence what is wrong, also about a class which no configuration may name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """No option may be cut short: ``--overwrit`` would delete a run."""
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with what is wrong.

        Raises:
            ConfigError: It is a class that may not be imported.
            UsageError: It is anything else, unless another parser is to hear of it.
        """
        if denied := _DENIED.search(message):
            path = denied[1]
            msg = (
                f"A configuration names {path}, which is neither of sclip_lightning nor of Lightning, and to import it "
                f"would run its code. If you trust that, allow it with --allow_modules {path.rpartition('.')[0]} (or "
                f"${ALLOW_VARIABLE}); otherwise take it out of the configuration."
            )
            raise ConfigError(msg) from ex
        if self.exit_on_error:
            raise UsageError(describe_mistake(self, message)) from ex
        super().error(message, ex)


def _names(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if not all(part.isidentifier() for part in name.split("."))]
    if wrong or any(name.partition(".")[0] == "jsonargparse" for name in names):  # which decides what is allowed
        msg = f"{option} is {text!r}. Give names of modules as in an import, split by commas: my_package.data."
        raise ConfigError(msg)
    return names
