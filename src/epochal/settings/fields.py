"""What a settings dataclass holds: its fields by dotted key, their kinds, and the values each allows."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from epochal.errors import EpochalError

SCALARS = (bool, int, float, str)


@dataclass(frozen=True)
class Interval:
    """The range a number must lie in, for `Annotated[float, Interval(0, 1)]`. `None` leaves an end free.

    Args:
        low: smallest allowed value; left out itself when `open_low`.
        high: largest allowed value; left out itself when `open_high`.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low is None or (value > self.low if self.open_low else value >= self.low)
        below = self.high is None or (value < self.high if self.open_high else value <= self.high)
        return above and below

    def __str__(self) -> str:
        if None not in (self.low, self.high) and not (self.open_low or self.open_high):
            return f"from {self.low:g} to {self.high:g}"
        low = None if self.low is None else f"{'>' if self.open_low else '>='} {self.low:g}"
        high = None if self.high is None else f"{'<' if self.open_high else '<='} {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


@dataclass(frozen=True)
class Kind:
    """What values a field takes.

    Attributes:
        base: bool, int, float, str or tuple; `object` when `choices` decide.
        items: kinds of a tuple's items; one kind, repeated, when `variadic`.
        optional: whether None is a value.
    """

    base: type
    interval: Interval | None = None
    choices: tuple[Any, ...] = ()
    items: tuple[Kind, ...] = ()
    variadic: bool = False
    optional: bool = False

    def __str__(self) -> str:
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        if self.choices:
            text = "one of " + ", ".join(str(choice) for choice in self.choices)
        elif self.base is tuple and self.variadic:
            text = f"a list, each item {self.items[0]}"
        elif self.base is tuple:
            text = f"a list of {len(self.items)}: " + "; ".join(str(item) for item in self.items)
        else:
            text = names[self.base]
        if self.interval is not None and str(self.interval):
            text += f" {self.interval}"
        return f"{text}, or none" if self.optional else text


@cache
def kinds(cls: type) -> dict[str, Kind]:
    """Kind of every setting of a (nested) dataclass by dotted key, in order of definition.

    Raises:
        EpochalError: when an annotation is none of bool, int, float, str, Literal, tuple, an optional
            of those, or a dataclass.
    """
    found: dict[str, Kind] = {}
    for name, hint in _hints(cls).items():
        if is_dataclass(hint) and isinstance(hint, type):
            found.update({f"{name}.{key}": kind for key, kind in kinds(hint).items()})
            continue
        try:
            found[name] = _kind(hint)
        except TypeError as problem:
            raise EpochalError(
                f"{cls.__module__}.{cls.__qualname__}.{name} has a type that settings cannot have: {problem}",
                hint="Use bool, int, float, str, Literal, a tuple of those, T | None, or a frozen dataclass.",
            ) from None
    return found


@cache
def groups(cls: type) -> dict[str, type]:
    """The nested dataclasses of a settings class by field name (one level)."""
    return {name: hint for name, hint in _hints(cls).items() if isinstance(hint, type) and is_dataclass(hint)}


def flatten(settings: Any) -> dict[str, Any]:
    """Values by dotted key, in order; `settings` is a settings dataclass or a nested mapping."""
    return dict(_walk(settings, ""))


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as nested plain JSON values (tuples become lists)."""
    plain: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        plain[entry.name] = to_dict(value) if is_dataclass(value) else _listed(value)
    return plain


def _walk(settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(settings):
        entries = [(entry.name, getattr(settings, entry.name)) for entry in fields(settings)]
    else:
        entries = list(settings.items())
    for name, value in entries:
        if is_dataclass(value) or isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (tuple, list)) else value


def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {entry.name: hints[entry.name] for entry in fields(cls) if entry.init}


def _kind(hint: Any) -> Kind:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SCALARS:
        return Kind(hint)
    if origin is Annotated:
        inner = _kind(arguments[0])
        interval = next((note for note in arguments[1:] if isinstance(note, Interval)), inner.interval)
        return Kind(inner.base, interval, inner.choices, inner.items, inner.variadic, inner.optional)
    if origin is Literal:
        return Kind(object, choices=arguments)
    if origin in (Union, types.UnionType):
        members = [argument for argument in arguments if argument is not type(None)]
        if len(members) != 1 or len(members) == len(arguments):
            raise TypeError(f"{hint} (a union may only be T | None)")
        inner = _kind(members[0])
        return Kind(inner.base, inner.interval, inner.choices, inner.items, inner.variadic, optional=True)
    if origin is tuple and arguments:
        variadic = len(arguments) == 2 and arguments[1] is Ellipsis
        items = tuple(_kind(argument) for argument in (arguments[:1] if variadic else arguments))
        return Kind(tuple, items=items, variadic=variadic)
    raise TypeError(str(hint))
