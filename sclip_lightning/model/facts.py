"""Reading what is published about methods: one YAML file a method in ``methods/``. Needs neither torch nor Lightning.

Values of a benchmark are laid over those that are ``common``. A benchmark that a file does not list has no values:
asking for them is an error that names the option to set, unless the file names a stand-in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.method_files import Method, Table, read_method

__all__ = [
    "COMMON",
    "METHODS",
    "OWN",
    "check_facts",
    "known_benchmarks",
    "load_method",
    "method_names",
    "method_of_parts",
    "model_section",
    "numbers_of",
    "objects_in",
    "open_numbers_of",
    "protocol_of",
    "stand_in_notes",
]

#: Where the files lie.
METHODS = Path(__file__).parents[1] / "methods"

#: Key of the values that all benchmarks share; as a stand-in it means these values alone.
COMMON = "common"
#: Key of the stand-in for classes of the user's own.
OWN = "own"


def method_names() -> list[str]:
    """Keys of all methods, which are the names of their files."""
    return sorted(path.stem for path in METHODS.glob("*.yaml"))


@cache
def load_method(name: str) -> Method:
    """The facts of a method.

    Raises:
        ConfigError: There is no such method, or its file has an unknown or a wrong key.
    """
    if name not in method_names():
        near = get_close_matches(name, method_names(), cutoff=0.5) or method_names()
        msg = f"There is no method {name!r}. Did you mean {' or '.join(near)}?"
        raise ConfigError(msg)
    return read_method(METHODS / f"{name}.yaml")


def model_section(name: str) -> dict[str, Any]:
    """What ``--method NAME`` puts under ``model:``: whose protocol counts, and the parts."""
    facts = load_method(name)
    return {"protocol": facts.protocol if isinstance(facts.protocol, str) else name, **facts.parts}


@cache
def known_benchmarks() -> list[str]:
    """All benchmarks that some method's authors have a protocol for, in the order of the file that has most."""
    tables = [load_method(name).protocol for name in method_names()]
    own = sorted((table for table in tables if not isinstance(table, str)), key=len, reverse=True)
    return list(dict.fromkeys(key for table in own for key in table if key != COMMON))


def protocol_of(method: str, benchmark: str | None) -> Protocol:
    """The protocol that a method's authors evaluate a benchmark under.

    Args:
        method: Key of the method.
        benchmark: Name of the benchmark. Data of the user's own (None) have no published protocol.

    Raises:
        ConfigError: They publish none, and none stands in; or there is no such method.
    """
    facts = load_method(method)
    if isinstance(facts.protocol, str):
        return protocol_of(facts.protocol, benchmark)
    values = _values(facts, facts.protocol, benchmark) if benchmark else None
    if values is None:
        reason = f" ({facts.absent.reason})" if facts.absent and benchmark in facts.absent.benchmarks else ""
        others = [name for name in method_names() if benchmark and _has_protocol(name, benchmark)]
        others.sort(key=lambda name: -len(load_method(name).protocol))  # those who evaluate most benchmarks first
        remedy = f"Choose that of another method, such as --model.protocol {others[0]}" if others else ""
        if others[1:]:
            remedy += f" (or {', '.join(others[1:])})"
        remedy = remedy or f"Known are protocols for {', '.join(known_benchmarks())}; your own classes need none"
        data = benchmark or "classes of your own"
        msg = f"No protocol of {facts.name}'s authors for {data} is known{reason}. {remedy}."
        raise ConfigError(msg)
    return Protocol(**{item.name: values[item.name] for item in fields(Protocol) if item.name in values})


def numbers_of(part: str, benchmark: str | None) -> dict[str, Any]:
    """The hyper-parameters that the authors of a part publish for a benchmark.

    Args:
        part: Name of the part's class.
        benchmark: Name of the benchmark; None, or one that no file knows, is data of the user's own.

    Returns:
        Values by field: those that all benchmarks share, and those of the benchmark or its stand-in, where there are
        any; nothing for a part that no file lists.
    """
    facts = _home_of(part)
    if facts is None:
        return {}
    table = facts.hyperparameters[part]
    values = _values(facts, table, benchmark if benchmark in known_benchmarks() else OWN)
    return dict(table.get(COMMON, {})) if values is None else values


def open_numbers_of(part: str) -> list[str]:
    """Fields of a part that its authors chose per benchmark, so that no default can be right for all."""
    facts = _home_of(part)
    tables = facts.hyperparameters[part] if facts else {}
    return list(dict.fromkeys(field for key, values in tables.items() if key != COMMON for field in values))


def method_of_parts(parts: Iterable[str]) -> str | None:
    """The name of the method that these parts (names of classes) and no others have their numbers from, or None."""
    wanted = set(parts)
    found = (facts for facts in map(load_method, method_names()) if facts.hyperparameters.keys() == wanted)
    return next((facts.name for facts in found), None) if wanted else None


def stand_in_notes(method: str | None, benchmark: str | None, parts: Iterable[str]) -> list[str]:
    """What a reader of a result must know about numbers that nobody published for its benchmark.

    Args:
        method: Whose protocol is in use; None for the package's own.
        benchmark: Name of the benchmark, as for :func:`numbers_of`.
        parts: Names of the classes of those parts in use whose numbers come from here rather than from the user.
    """
    notes = []
    if method is not None and isinstance(protocol := load_method(method).protocol, str):
        method = protocol
    if method is not None and benchmark in known_benchmarks():
        facts = load_method(method)
        if benchmark in facts.stand_ins and benchmark not in facts.protocol:
            stand_in = _in_words(facts.stand_ins[benchmark])
            notes.append(f"No protocol of {facts.name}'s authors for {benchmark} is known: {stand_in} in.")
    for part in dict.fromkeys(parts):
        home = _home_of(part)
        key = benchmark if benchmark in known_benchmarks() else OWN
        if home is None or key in home.hyperparameters[part] or key not in home.stand_ins:
            continue
        where = "classes of your own" if key == OWN else benchmark
        stand_in = _in_words(home.stand_ins[key])
        notes.append(f"{home.name}'s authors publish no numbers of {part} for {where}: {stand_in} in.")
    return notes


def check_facts() -> list[str]:
    """Hold all files against the classes that they speak of, which imports torch.

    Returns:
        What is wrong, a sentence each: a part or a field that does not exist, a benchmark that does not exist, or one
        that a file neither has values for nor calls absent.
    """
    options = {item.name for item in fields(import_module("sclip_lightning.model.options").SegmentorOptions)}
    problems = []
    for name in method_names():
        facts = load_method(name)
        problems += [f"{name}.yaml: parts has {key}, no option of --model." for key in facts.parts.keys() - options]
        for part, arguments in objects_in(facts.parts):
            problems += _unknown_fields(f"{name}.yaml: parts", part, arguments)
        tables = dict(facts.hyperparameters)
        for part, table in tables.items():
            problems += _unknown_fields(
                f"{name}.yaml: hyperparameters", part, {key for row in table.values() for key in row}
            )
        if not isinstance(facts.protocol, str):
            tables["protocol"] = facts.protocol
        elif facts.protocol not in method_names():
            problems.append(f"{name}.yaml: protocol is {facts.protocol}, which is no method.")
        absent = facts.absent.benchmarks if facts.absent else []
        named = {*absent, *facts.stand_ins, *(key for table in tables.values() for key in table)}
        problems += [f"{name}.yaml: there is no benchmark {key}." for key in named - {*known_benchmarks(), COMMON, OWN}]
        for title, table in tables.items():
            missing = [key for key in known_benchmarks() if key not in absent and _values(facts, table, key) is None]
            if table.keys() != {COMMON} and missing:
                problems.append(f"{name}.yaml: {title} has no {', '.join(missing)}. Add a stand-in, or call it absent.")
    return problems


def _unknown_fields(where: str, part: str, arguments: Iterable[str]) -> list[str]:
    """What a part's class has no field for; or that there is no such class."""
    for room in ("decoding", "upsampling", "refine"):
        module = import_module(f"sclip_lightning.{room}")
        if part in module.__all__:
            known = {item.name for item in fields(getattr(module, part))}
            return [f"{where} has {argument}, no field of {part}." for argument in sorted(set(arguments) - known)]
    return [f"{where} has {part}, which no room of parts exports."]


def objects_in(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Class and arguments of every object in a configuration, nested ones included."""
    if isinstance(value, dict):
        if "class_path" in value:
            yield value["class_path"], value.get("init_args", {})
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects_in(item)


def _in_words(stand_in: str) -> str:
    return "what all their benchmarks share stands" if stand_in == COMMON else f"those for {stand_in} stand"


def _values(facts: Method, table: Table, key: str) -> dict[str, Any] | None:
    """Common values under those of a benchmark (or ``own``) or of its stand-in; None where there is neither."""
    if key not in table:
        key = facts.stand_ins.get(key, "")
    return {**table.get(COMMON, {}), **table[key]} if key in table else None


def _has_protocol(name: str, benchmark: str) -> bool:
    """Whether a method has a protocol of its own for a benchmark."""
    facts = load_method(name)
    return not isinstance(facts.protocol, str) and _values(facts, facts.protocol, benchmark) is not None


def _home_of(part: str) -> Method | None:
    """The one method whose file lists the part's numbers."""
    return next((facts for facts in map(load_method, method_names()) if part in facts.hyperparameters), None)
