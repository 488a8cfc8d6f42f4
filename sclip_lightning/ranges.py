"""What numbers may be: ranges stand beside the fields that hold them, and one function checks all of an object's.

A field says its range in its type, ``std: Annotated[float, above(0)] = 5.0``. ``check_numbers`` reads it there, so a
new part needs no line of checking, and what it refuses is never computed with: not a number (NaN), infinity, a fraction
where a whole number is expected.
"""

import math
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from sclip_lightning.errors import ConfigError

__all__ = ["LOGIT_SCALES", "Range", "above", "at_least", "between", "check_number", "check_numbers", "ranges_of"]


@dataclass(frozen=True)
class Range:
    """Finite numbers between two bounds.

    Attributes:
        low: The least one; None where there is no bound.
        high: The greatest one, likewise.
        without_low: ``low`` itself does not belong to it ...
        without_high: ... nor does ``high``.
        whole: Only whole numbers belong to it.
    """

    low: float | None = None
    high: float | None = None
    without_low: bool = False
    without_high: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is a number of this range."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        number = float(value)
        if not math.isfinite(number):
            return False
        if self.low is not None and (number < self.low or (self.without_low and number == self.low)):
            return False
        return self.high is None or not (number > self.high or (self.without_high and number == self.high))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low = "" if self.low is None else f" {'above' if self.without_low else 'from'} {self.low:g}"
        if self.high is None:
            return f"{kind}{low} up" if low.startswith(" from") else f"{kind}{low}"
        return f"{kind}{low} {'to below' if self.without_high else 'to'} {self.high:g}"

    def __repr__(self) -> str:  # as the help of options shows it
        return str(self).removeprefix("a ")


#: Factors on cosines before a softmax: CLIP's own is 100, and far beyond this float32 overflows.
LOGIT_SCALES = Range(0, 1e6, without_low=True)


def above(low: float) -> Range:
    """Finite numbers above ``low``."""
    return Range(low, without_low=True)


def at_least(low: float, whole: bool = False) -> Range:
    """Finite numbers from ``low`` up."""
    return Range(low, whole=whole)


def between(low: float, high: float, whole: bool = False) -> Range:
    """Numbers from ``low`` to ``high``, both included."""
    return Range(low, high, whole=whole)


def check_number(value: Any, allowed: Range, option: str) -> None:
    """Hold one number against its range.

    Raises:
        ConfigError: It is outside.
    """
    if not allowed.holds(value):
        msg = f"{option} is {value!r}. Give {allowed}."
        raise ConfigError(msg)


def check_numbers(thing: Any, option: str = "", prefix: str = "") -> None:
    """Hold every number in a dataclass object against the range in its field's type.

    A field that is None is left open and passes. In a list or tuple each number counts, and there must be one.

    Args:
        thing: The object.
        option: The option that sets it, for the message: ``--model.upsampler``; none for an object that no option sets.
        prefix: Given instead where every field is an option by itself, and stands before its name: ``--model.``.

    Raises:
        ConfigError: A number is outside its range; the message names it, the option, the range and the default.
    """
    kind: Any = type(thing)
    defaults = {field.name: field.default for field in fields(thing)}
    for name, allowed in ranges_of(kind).items():
        value = getattr(thing, name)
        if value is None or isinstance(value, str):
            continue
        several = isinstance(value, list | tuple)
        if several and value and all(map(allowed.holds, value)):
            continue
        if not several and allowed.holds(value):
            continue
        default = defaults[name]
        usual = "" if default is MISSING or default is None else f" (default: {default})"
        what = f"{prefix}{name}" if prefix else f"{f'{option}: ' if option else ''}{kind.__name__}'s {name}"
        each = ", or several such" if several else ""
        msg = f"{what} is {value!r}. Give {allowed}{each}{usual}."
        raise ConfigError(msg)


@cache
def ranges_of(kind: Any) -> dict[str, Range]:
    """The ranges in the types of a dataclass's fields, by field; ``kind`` is the class."""
    hints = get_type_hints(kind, include_extras=True)
    found = {field.name: next(_ranges_in(hints[field.name]), None) for field in fields(kind)}
    return {name: allowed for name, allowed in found.items() if allowed is not None}


def _ranges_in(hint: Any) -> Iterator[Range]:
    if get_origin(hint) is Annotated:
        yield from (extra for extra in hint.__metadata__ if isinstance(extra, Range))
    for inner in get_args(hint):
        yield from _ranges_in(inner)
