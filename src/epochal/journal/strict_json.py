"""JSON that every reader accepts: floats that are not finite are written as text and read back as floats.

RFC 8259 knows no NaN, and Python's own `NaN` token breaks other readers (JavaScript, databases). A diverged
run must still be written: its numbers become the texts "NaN", "Infinity" and "-Infinity". A text that is one
of these three comes back as a float.
"""

from __future__ import annotations

import json
import math
from typing import Any

_AS_TEXT = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(value: Any, *, indent: int | None = None) -> str:
    """`value` as strict JSON text in one line, or indented.

    Scalars of NumPy and torch (anything with `.item()`) become plain numbers, paths become text.

    Raises:
        TypeError: for a value that JSON cannot hold.
    """
    try:
        return _encode(value, indent)
    except ValueError:
        return _encode(_finite(value), indent)


def encode(value: Any, *, indent: int | None = None) -> bytes:
    """`dumps` in UTF-8. Text that UTF-8 cannot hold (undecodable file names) is escaped."""
    text = dumps(value, indent=indent)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(c if not "\ud800" <= c <= "\udfff" else f"\\u{ord(c):04x}" for c in text).encode()


def restore(value: Any) -> Any:
    """Puts floats back where `dumps` wrote "NaN", "Infinity" or "-Infinity" (in nested lists and dicts)."""
    if isinstance(value, dict):
        return {key: restore(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restore(item) for item in value]
    return _AS_TEXT.get(value, value) if isinstance(value, str) else value


def may_hold_texts_of_floats(text: str) -> bool:
    """Whether `restore` could change anything that was read from `text` (a cheap test for big logs)."""
    return any(f'"{name}"' in text for name in _AS_TEXT)


def _encode(value: Any, indent: int | None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
