"""Validates one value against the kind of its setting, with an error that says what is allowed."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from epochal.errors import UsageError
from epochal.settings.fields import Kind

TRUE, FALSE, NONE = ("true", "yes", "on"), ("false", "no", "off"), "none"


def check(key: str, value: Any, kind: Kind) -> Any:
    """Returns `value` as its setting stores it ("2e-4" → 0.0002 for a number, a list → a tuple).

    Args:
        key: dotted key, for the message.
        value: a Python or JSON value, or its text as typed on a command line.
        kind: what the setting takes.

    Raises:
        UsageError: naming key, value and what is allowed.
    """
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    try:
        return _convert(value, kind)
    except ValueError as reason:
        detail = f" ({reason})" if str(reason) else ""
        raise UsageError(
            f"{key} = {shown(value)} is not allowed{detail}.", hint=f"{key} must be {kind}."
        ) from None


def shown(value: Any) -> str:
    """A value as people write it: `none`, `true`, `0` for 0.0, text as it is."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, str):
        return value or "''"
    return repr(value)


def _convert(value: Any, kind: Kind) -> Any:
    if kind.optional and value is None:
        return None
    # A text setting may be the word "none" itself; there None comes only from null or from a file's reader.
    if kind.optional and isinstance(value, str) and value.lower() == NONE and kind.base is not str:
        return None
    if kind.choices:
        return _choice(value, kind.choices)
    if kind.base is tuple:
        return _tuple(value, kind)
    if kind.base is bool:
        return _bool(value)
    if kind.base is str:
        if not isinstance(value, str):
            raise ValueError
        return value
    number = _integer(value) if kind.base is int else _float(value)
    if kind.interval is not None and number not in kind.interval:
        raise ValueError("out of range")
    return number


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        # True == 1 in Python, so the type has to agree as well.
        if (type(value) is type(choice) and value == choice) or (
            isinstance(value, str) and shown(choice) == value
        ):
            return choice
    raise ValueError


def _tuple(value: Any, kind: Kind) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = value.strip("[]()").replace(",", " ").split()
    if not isinstance(value, (tuple, list)):
        raise ValueError
    if kind.variadic:
        return tuple(_convert(item, kind.items[0]) for item in value)
    if len(value) != len(kind.items):
        raise ValueError(f"{len(value)} items")
    return tuple(_convert(item, one) for item, one in zip(value, kind.items, strict=True))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE + FALSE:
        return value.lower() in TRUE
    raise ValueError


def _integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise ValueError from None  # int()'s own wording speaks of bases and literals
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("not finite") from None
    except ValueError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
