"""Pieces of Markdown that hold whatever text they are given without breaking the page around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from urllib.parse import quote

_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]<>|#~&$])")
_STARTS_A_LIST = re.compile(r"^(\d*)([-+=.)])(?= |$)")
_BARE_BAR = re.compile(r"(?<!\\)\|")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def plain(text: str) -> str:
    """Text on one line with every character that Markdown or HTML would read escaped."""
    line = _MEANS_SOMETHING.sub(r"\\\1", " ".join(_CONTROL.sub("", text).split()))
    return _STARTS_A_LIST.sub(r"\1\\\2", line)


def upper_first(text: str) -> str:
    """The text with its first letter in upper case, all others as they are."""
    return text[:1].upper() + text[1:]


def code(text: str) -> str:
    """Text on one line as code."""
    line = " ".join(_CONTROL.sub("", text).split())
    if not line:
        return ""
    ticks = "`" * (_longest_ticks(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fence(lines: Iterable[str], language: str = "text") -> list[str]:
    """Lines exactly as they are, in a fence longer than any run of backticks among them."""
    body = [_CONTROL.sub("", line) for text in lines for line in re.split(r"\r\n|\r|\n", text)]
    ticks = "`" * max(3, 1 + max(map(_longest_ticks, body), default=0))
    return [f"{ticks}{language}", *body, ticks]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """A table; the cells are Markdown already. Columns in `right` hold numbers and are set to the right."""
    # Tables are split at bars before code is recognised: there a bar needs its backslash even in code.
    escaped = ([_BARE_BAR.sub(r"\|", cell) for cell in cells] for cells in (head, *rows))
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    lines = [f"| {' | '.join(cells)} |" for cells in escaped]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def picture(path: PurePath, text: str) -> str:
    """A picture by its relative path."""
    return f"![{plain(text)}]({quote(path.as_posix())})"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
