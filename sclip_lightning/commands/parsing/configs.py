"""Finding configuration files, those shipped with the package included. Imports neither torch nor Lightning."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from sclip_lightning.errors import ConfigError

__all__ = ["find_config", "resolve_arguments", "section_names", "shipped_configs"]


def shipped_configs() -> Path:
    """The folder of shipped configurations: beside the package in a source tree, inside it once installed."""
    package = Path(__file__).parents[2]
    beside = package.parent / "configs"
    return beside if (package.parent / "pyproject.toml").is_file() and beside.is_dir() else package / "configs"


def find_config(name: str) -> Path:
    """Find a configuration: a file as given from where you stand, else one of the shipped.

    Args:
        name: A path, or the name of a shipped file such as ``baseline.yaml``; ``.yaml`` may be left out.

    Raises:
        ConfigError: Neither exists.
    """
    shipped = shipped_configs()
    for candidate in (Path(name).expanduser(), shipped / name, shipped / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    names = sorted(str(path.relative_to(shipped)) for path in shipped.rglob("*.yaml"))
    msg = f"There is no configuration {name!r} in {Path.cwd()}, nor among those shipped: {', '.join(names)}."
    raise ConfigError(msg)


def section_names(arguments: Sequence[str]) -> list[str]:
    """Names of the sections in all configurations that the (resolved) arguments name, each once."""
    names: dict[str, None] = {}
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        key, equals, path = option.partition("=")
        if key not in ("--config", "-c"):
            continue
        try:
            content = yaml.safe_load(Path(path if equals else following).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # for the parser to complain about
        names |= dict.fromkeys(content if isinstance(content, dict) else ())
    return list(names)


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
