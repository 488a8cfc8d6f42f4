"""What is wrong with the arguments of a command, in one sentence instead of the parser's report."""

import inspect
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from jsonargparse import ArgumentParser

__all__ = ["describe_mistake", "no_such_option"]

#: How the parser names the option that its report is about, from the outside in.
_KEY = re.compile(r'Parser key "([\w.]+)')
#: How it says that there is no such option; the last two of these stand in configurations.
_UNKNOWN = re.compile(
    r"(?:unrecognized arguments: |Option '|does not accept option '|[Kk]ey ['\"])([^\s'\"]+)['\"]?"
    r"(?: is not accepted|(?: is)? not expected)?"
)
#: The section in which it looked for it.
_GROUP = re.compile(r"Group '([\w.]+)' does not accept")
#: The class whose option it looked for, the values that it takes, and the one that it was given.
_CLASS = re.compile(r"given class_path '([\w.]+)'")
_LITERAL = re.compile(r"Literal\[([^\]]+)\]")
_GIVEN = re.compile(r"(?:Given value|Got value): (?!NestedArg)(.+)")
#: What the types of values are called.
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "NoneType": "null"}


def describe_mistake(parser: ArgumentParser, message: str) -> str:
    """Turn the parser's report into a sentence that names the option and what it could have been.

    Args:
        parser: The one that reports; its options are those there are.
        message: Its report.
    """
    words = [word for word in parser.prog.split() if "[" not in word]
    command = " ".join(words) if words[1:] else "sclip test"
    more = _more(command)
    keys = ".".join(_KEY.findall(message))
    if missing := re.search(r"arguments are required: (.+)", message):
        return f"{' and '.join(f'--{name.strip()}' for name in missing[1].split(','))} must be given. {more}"
    if lone := re.search(r"argument (-[\w.-]+)[^:]*: expected", message):
        return f"{lone[1]} needs a value. {more}"
    known = _options(parser)
    if "unrecognized" in message or "not accept" in message or "not expected" in message:
        unknown = _UNKNOWN.search(message[message.rfind("Option '") :] if "Option '" in message else message)
        if unknown and unknown[1].startswith("-") is False and "unrecognized" in message:
            return f"The argument {unknown[1]} belongs to no option. {more}"
        if unknown:
            name = unknown[1].partition("=")[0].lstrip("-")
            if group := _GROUP.search(message):
                name = f"{group[1]}.{name}"
            if "Option '" in message:  # of a class
                path = _CLASS.findall(message)
                known |= {f"{keys}.{one}".lstrip(".") for one in _parameters(path[-1] if path else "")}
                name = f"{keys}.{name}".lstrip(".")
                if path and name in known:  # an option of the class that stands there by default
                    return f"There is no option --{name} where --{keys} is {path[-1].rpartition('.')[2]}. {more}"
            return no_such_option(name, known, command)
    given = _GIVEN.findall(message)
    value = given[-1].strip() if given else ""
    allowed = [choice.strip(" '\"") for group in _LITERAL.findall(message) for choice in group.split(",")]
    kinds = [_KINDS[kind] for kind in re.findall(r"Expected an? <class '(\w+)'>", message) if kind in _KINDS]
    if keys and not allowed and ("import path" in message or "class_path" in message):
        value = value or message.rsplit(":", 1)[-1].strip()
        allowed = _classes(parser, keys)
    if keys and value and (allowed or kinds):
        choices = list(dict.fromkeys(allowed or kinds))
        near = next(iter(get_close_matches(value, choices, 1)), None)
        hint = f" Did you mean {near}?" if near else ""
        return f"--{keys} is {value}, but must be {_one_of(choices)}.{hint}"
    return f"{' '.join(message.split())} {more}"


def no_such_option(name: str, known: Iterable[str], command: str) -> str:
    """Say that an option is not there, and which was probably meant.

    Args:
        name: Without dashes, as are the others.
        known: Those there are.
        command: Whose help names them, such as ``sclip test``.
    """
    near = _nearest(name, known)
    return f"There is no option --{name}. {f'Did you mean --{near}?' if near else _more(command)}"


def _more(command: str) -> str:
    return f"{command} --help names the options, --help.all all of them."


def _options(parser: ArgumentParser) -> set[str]:
    """Names of all options, those of the default classes included, without dashes."""
    names: set[str] = set()
    for action in parser._actions:
        names |= {option.lstrip("-") for option in action.option_strings if option.startswith("--")}
        if isinstance(action.default, dict) or hasattr(action.default, "class_path"):
            path = dict(vars(action.default) if hasattr(action.default, "class_path") else action.default)
            names |= {f"{action.dest}.{one}" for one in _parameters(str(path.get("class_path", "")))}
    return names


def _parameters(path: str) -> set[str]:
    """Names of the arguments of a class that has been imported, those it hands on to its parents included."""
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    names: set[str] = set()
    for base in inspect.getmro(found) if inspect.isclass(found) else ():
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD}
            if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters):
                break
    return names - {"self"}


def _classes(parser: ArgumentParser, key: str) -> list[str]:
    """Names of the package's classes that an option takes."""
    found: dict[str, None] = {}
    waiting: list[Any] = []
    for action in parser._actions:
        if action.dest == key:
            waiting.append(getattr(action, "_typehint", None))
    while waiting:
        one = waiting.pop(0)
        waiting += get_args(one)
        if inspect.isclass(one) and one.__module__.startswith("sclip_lightning"):
            waiting += one.__subclasses__()
            if not inspect.isabstract(one) and not one.__name__.startswith("_"):
                found[one.__name__] = None
    return sorted(found)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The option that was most likely meant: one with the same last name in the same section, else the most similar."""
    first, _, last = name.partition(".")[0], *name.rpartition(".")[1:]
    same = sorted((one for one in known if one.split(".")[0] == first and one.split(".")[-1] == last), key=len)
    return next(iter(same or get_close_matches(name, sorted(known), 1, cutoff=0.7)), None)


def _one_of(choices: list[str]) -> str:
    return choices[0] if not choices[1:] else f"{', '.join(choices[:-1])} or {choices[-1]}"
