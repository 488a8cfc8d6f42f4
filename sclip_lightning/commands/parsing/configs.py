"""Finding configurations: the user's, those shipped, and those of methods. Imports neither torch nor Lightning."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from sclip_lightning.errors import ConfigError
from sclip_lightning.files import write_text
from sclip_lightning.model.facts import load_method, method_names, model_section

__all__ = [
    "METHOD_HELP",
    "contents",
    "expand_method",
    "find_config",
    "origin_of_data",
    "resolve_arguments",
    "section_names",
    "shipped_configs",
]

#: What the help of a command that takes a method says about it.
METHOD_HELP = (
    "--method NAME is short for --config NAME.yaml before all other options, --protocol NAME for --model.protocol "
    f"NAME. Methods: {', '.join(method_names())}."
)


def shipped_configs() -> Path:
    """The folder of shipped configurations: beside the package in a source tree, inside it once installed."""
    package = Path(__file__).parents[2]
    beside = package.parent / "configs"
    return beside if (package.parent / "pyproject.toml").is_file() and beside.is_dir() else package / "configs"


def find_config(name: str) -> Path:
    """Find a configuration: a file as given from where you stand, else one of the shipped, else that of a method.

    Args:
        name: A path, or the name of a shipped file such as ``baseline.yaml`` or of a method such as ``naclip.yaml``;
            ``.yaml`` may be left out.

    Raises:
        ConfigError: None of them exists.
    """
    shipped = shipped_configs()
    for candidate in (Path(name).expanduser(), shipped / name, shipped / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    method = name.removesuffix(".yaml")
    if method in method_names():
        return _method_config(method)
    names = sorted(str(path.relative_to(shipped)) for path in shipped.rglob("*.yaml"))
    methods = ", ".join(f"{method}.yaml" for method in method_names())
    msg = (
        f"There is no configuration {name!r} in {Path.cwd()}, nor among those shipped: {', '.join(names)}; nor among "
        f"those of methods: {methods}. Give one of these names, or the path of a file."
    )
    raise ConfigError(msg)


@cache
def _method_config(method: str) -> Path:
    """A file made of a method's facts, called as the method is since runs are named after it; gone with the process."""
    facts = load_method(method)
    text = f"# {facts.name} ({facts.authors}, {facts.venue}), from the facts in methods/{method}.yaml.\n"
    path = Path(_temporary_folder().name) / f"{method}.yaml"
    write_text(path, text + yaml.safe_dump({"model": model_section(method)}, sort_keys=False))
    return path


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """One for the process, at whose end it is deleted."""
    return tempfile.TemporaryDirectory(prefix="sclip-methods-")


def expand_method(arguments: Sequence[str]) -> list[str]:
    """Spell out ``--method`` and ``--protocol``.

    ``--method NAME`` becomes ``--config NAME.yaml`` before all other arguments, so that whatever else is given wins;
    ``--protocol NAME`` becomes ``--model.protocol NAME`` where it stands.

    Raises:
        ConfigError: A name is missing, there is no such method, or a method is named twice.
    """
    methods: list[str] = []
    others: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option not in ("--method", "--protocol"):
            others.append(argument)
            continue
        name = value if equals else next(remaining, "")
        if not name or name.startswith("-"):
            msg = f"{option} needs the name of a method: {', '.join(method_names())}."
            raise ConfigError(msg)
        load_method(name)
        if option == "--method":
            methods.append(name)
        else:
            others.append(f"--model.protocol={name}")
    if methods[1:]:
        msg = f"--method is given {len(methods)} times ({', '.join(methods)}). Name one; --config changes what it sets."
        raise ConfigError(msg)
    return [*(f"--config={name}.yaml" for name in methods), *others]


def section_names(arguments: Sequence[str]) -> list[str]:
    """Names of the sections in all configurations that the (resolved) arguments name, each once."""
    names: dict[str, None] = {}
    for _, content in contents(arguments):
        names |= dict.fromkeys(content)
    return list(names)


def origin_of_data(arguments: Sequence[str]) -> str:
    """What named the benchmark that ``sclip test`` with these (resolved) arguments takes, in words."""
    if any(argument.partition("=")[0] in ("--data", "--data.class_path") for argument in arguments):
        return "as --data says"
    origin = "the default where neither --data nor a configuration names one"
    for path, content in contents(arguments):
        data = content.get("data")
        if isinstance(data, str) or (isinstance(data, dict) and "class_path" in data):
            origin = f"as the configuration {path} says"
    return origin


def contents(arguments: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and content of all configurations that the (resolved) arguments name; the content must be left as it is."""
    for option, following in pairwise([*arguments, ""]):
        key, equals, value = option.partition("=")
        if key not in ("--config", "-c"):
            continue
        path = value if equals else following
        try:
            content = _parsed(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # for the parser to complain about
        if isinstance(content, dict):
            yield path, content


@lru_cache(32)
def _parsed(text: str) -> Any:
    """The content of a file, which is asked for on several occasions."""
    return yaml.safe_load(text)


def resolve_arguments(arguments: Sequence[str]) -> list[str]:
    """Replace the names of configurations in command-line arguments by the paths of the files found."""
    resolved: list[str] = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if resolved and resolved[-1] in ("--config", "-c"):
            argument = str(find_config(argument))
        elif option == "--config" and equals:
            argument = f"--config={find_config(value)}"
        resolved.append(argument)
    return resolved
