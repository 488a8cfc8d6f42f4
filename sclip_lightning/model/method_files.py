"""What a file in ``methods/`` holds, and reading it so that a wrong key cannot pass; without torch and Lightning."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.errors import ConfigError

__all__ = ["Absent", "Code", "Figures", "Licence", "Method", "Table", "read_method"]

#: The same files in a seventh of the time, where PyYAML was built with libyaml.
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Values by name, for ``common`` and by benchmark.
Table = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Code:
    """The authors' code: ``owner/name`` on GitHub, and the commit that was read, where it is known."""

    repository: str
    commit: str | None = None


@dataclass(frozen=True)
class Licence:
    """Under what terms code and weights are published, in words."""

    code: str
    weights: str


@dataclass(frozen=True)
class Figures:
    """One published list of results.

    Attributes:
        title: Heading of its column.
        source: Where the figures stand.
        weights: Which networks they were computed with.
        switched_on: Which parts.
        miou: mIoU in percent by benchmark, or words such as "not checked".
        arguments: What ``sclip test --method NAME`` takes besides, to compute them.
        no_target: Why nothing that this package computes can be held against them; None where it can.
    """

    title: str
    source: str
    weights: str
    switched_on: str
    miou: Mapping[str, float | str]
    arguments: list[str] = field(default_factory=list)
    no_target: str | None = None


@dataclass(frozen=True)
class Absent:
    """Benchmarks that the authors do not evaluate, and why."""

    benchmarks: list[str]
    reason: str


@dataclass(frozen=True)
class Method:
    """What is published about one method.

    Attributes:
        name: As its authors call it.
        title: Title of the paper.
        authors: In short: Wang et al.
        venue: Where and when.
        arxiv: Identifier of the preprint.
        code: The authors' code.
        licence: Its terms.
        parts: What goes under ``model:`` in a configuration.
        protocol: Fields of ``Protocol``, common and by benchmark; or the key of the method whose protocol it takes.
        source: Where each group of facts stands.
        hyperparameters: By name of a part's class: its fields, common and by benchmark.
        stand_ins: Benchmark whose values (or ``common``) are taken for one that nobody published any for.
        absent: Benchmarks without values and without a stand-in.
        published: Lists of results.
        deviations: What this package does otherwise than paper or released code.
    """

    name: str
    title: str
    authors: str
    venue: str
    arxiv: str
    code: Code
    licence: Licence
    parts: Mapping[str, Any]
    protocol: Table | str
    source: Mapping[str, str]
    hyperparameters: Mapping[str, Table] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    absent: Absent | None = None
    published: list[Figures] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)


def read_method(path: Path) -> Method:
    """Read one file and check its keys and values.

    Raises:
        ConfigError: The file is no YAML, a key is unknown or missing, or a value is of another type than it should be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"The facts file {path} cannot be read: {' '.join(str(error).split())}. It must be YAML in UTF-8."
        raise ConfigError(msg) from error
    method: Method = _convert(Method, content, path, "")
    if not isinstance(method.protocol, str):
        for benchmark, values in method.protocol.items():
            for key in values:
                _check_known(key, get_type_hints(Protocol), path, f"protocol.{benchmark}.{key}")
                _convert(get_type_hints(Protocol)[key], values[key], path, f"protocol.{benchmark}.{key}")
    return method


def _convert(kind: Any, value: Any, path: Path, key: str) -> Any:
    """The value as an object of a type: a dataclass, ``list[...]``, ``Mapping[str, ...]``, a union, or a plain type."""
    if kind is Any:
        return value
    if get_origin(kind) is UnionType:
        fitting = [choice for choice in get_args(kind) if _fits(choice, value)]
        return _convert(fitting[0] if fitting else get_args(kind)[0], value, path, key)
    if not _fits(kind, value):
        name = "mapping" if _is_mapping(kind) else getattr(get_origin(kind) or kind, "__name__", str(kind))
        msg = f"{path} has {value!r} under {key or 'its top level'}, but the kind expected is {name}. Correct the file."
        raise ConfigError(msg)
    if is_dataclass(kind):
        return _build(kind, value, path, key)
    if get_origin(kind) is list:
        return [_convert(get_args(kind)[0], item, path, f"{key}[{number}]") for number, item in enumerate(value)]
    if _is_mapping(kind):
        return {name: _convert(get_args(kind)[1], item, path, f"{key}.{name}") for name, item in value.items()}
    return kind(value)


def _build(kind: Any, content: Mapping[str, Any], path: Path, key: str) -> Any:
    """A dataclass of the mapping's values."""
    hints, prefix = get_type_hints(kind), f"{key}." if key else ""
    for name in content:
        _check_known(name, hints, path, f"{prefix}{name}")
    for item in fields(kind):
        if item.name not in content and item.default is MISSING and item.default_factory is MISSING:
            msg = f"{path} has no key {prefix}{item.name}. Add it: no method is without."
            raise ConfigError(msg)
    return kind(**{name: _convert(hints[name], value, path, f"{prefix}{name}") for name, value in content.items()})


def _check_known(name: str, known: Mapping[str, Any], path: Path, key: str) -> None:
    if name not in known:
        near = get_close_matches(str(name), known, cutoff=0.5) or list(known)
        msg = f"{path} has the unknown key {key}. Did you mean {' or '.join(near)}?"
        raise ConfigError(msg)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping or is_dataclass(kind)


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value from YAML is of a type, the types of what it contains aside; an integer will do for a float."""
    if _is_mapping(kind):
        return isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is (get_origin(kind) or kind)
