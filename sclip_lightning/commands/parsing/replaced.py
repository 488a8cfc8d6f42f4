"""Parts of a decoder that another decoder, named later, would drop: the parser lets them go without a word."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from sclip_lightning.commands.parsing.configs import contents
from sclip_lightning.errors import ConfigError
from sclip_lightning.windows import Decoder

__all__ = ["check_replaced"]

_OPTION = "--model.decoder"


def check_replaced(arguments: Sequence[str]) -> None:
    """Refuse to name a decoder after parts that it does not have were switched on, such as ResCLIP's.

    Args:
        arguments: Those of the command, resolved; they have been parsed, so that all classes in them are imported.

    Raises:
        ConfigError: A part would be lost.
    """
    decoders = _all_below(Decoder)
    switches = {field.name for kind in decoders.values() for field in fields(kind) if field.default is False}
    on: dict[str, str] = {}
    for origin, key, value in _settings(arguments):
        if key in switches:
            on.pop(key, None)
            if value:
                on[key] = origin
        kind = decoders.get(str(value).rpartition(".")[2]) if key == "class_path" else None
        lost = sorted(on.keys() - {field.name for field in fields(kind)}) if kind else []
        if kind and lost:
            off = " ".join(f"{_OPTION}.{name} false" for name in lost)
            msg = (
                f"{' and '.join(dict.fromkeys(on[name] for name in lost))} switches {' and '.join(lost)} on, which "
                f"{kind.__name__} does not have, so that nothing would be left of it. Leave it out (--protocol NAME "
                f"takes a method's protocol alone), or switch it off before {kind.__name__} is named: {off}."
            )
            raise ConfigError(msg)


def _settings(arguments: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Where, what and to which value: everything that sets a decoder or one of its fields, in order."""
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        key, equals, text = option.partition("=")
        text = text if equals else following
        if key in ("--config", "-c"):
            for path, content in contents([f"--config={text}"]):
                model = content.get("model")
                yield from _set_by(model.get("decoder") if isinstance(model, dict) else None, Path(path).name)
        elif key == _OPTION:
            yield from _set_by(_value(text), _OPTION)
        elif key.startswith(f"{_OPTION}."):
            name, _, inner = key.removeprefix(f"{_OPTION}.").removeprefix("init_args.").partition(".")
            yield f"{_OPTION}.{name}", name, inner or _value(text)


def _set_by(decoder: Any, origin: str) -> Iterator[tuple[str, str, Any]]:
    """The same for the value of ``model.decoder``: a class's name, or a mapping."""
    if isinstance(decoder, str):
        decoder = {"class_path": decoder}
    if isinstance(decoder, dict):
        yield from ((origin, key, value) for key, value in decoder.items() if key != "init_args")
        yield from ((origin, key, value) for key, value in (decoder.get("init_args") or {}).items())


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _all_below(kind: type) -> dict[str, Any]:
    """All classes that inherit from one and can be made, by name."""
    found: dict[str, Any] = {}
    one: type
    for one in kind.__subclasses__():
        found |= _all_below(one)
        if "__dataclass_fields__" in vars(one):
            found[one.__name__] = one
    return found
