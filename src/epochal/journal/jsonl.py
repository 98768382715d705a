"""Append-only logs: one JSON object a line, written by one write, read whatever a kill left behind.

The last line may be torn. It is left out on reading and cut off before the next line is added; a last line
that is whole but lost its newline is kept. Other lines that are no JSON objects are left out and reported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from epochal.journal import atomic, strict_json


class Log(NamedTuple):
    """What a log holds.

    Attributes:
        records: its readable lines, in order.
        garbage: numbers (from 1) of the lines that are no JSON objects.
        torn: whether a torn last line was left out.
    """

    records: list[dict[str, Any]]
    garbage: list[int]
    torn: bool


def append(path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Adds records to a log by one write, after repairing a torn last line.

    The caller keeps other writers away (`Run` does).

    Raises:
        EpochalError: the disk is full, broken …; the log is as it was before.
    """
    lines = b"".join(strict_json.encode(dict(record)) + b"\n" for record in records)
    if lines:
        atomic.append_bytes(path, _heal(Path(path)) + lines)


def read(path: str | os.PathLike[str], *, skip: str | None = None, only: str | None = None) -> Log:
    """Reads a log; none written yet reads as empty.

    Args:
        path: the log.
        skip: lines that contain this text are passed over unparsed (faster where few of many lines matter).
        only: lines without this text are passed over unparsed.

    Raises:
        EpochalError: the file cannot be read at all.
    """
    try:
        data = atomic.read_bytes(path)
    except FileNotFoundError:
        return Log([], [], torn=False)
    return parse(data, skip=skip, only=only)


def parse(data: bytes, *, skip: str | None = None, only: str | None = None) -> Log:
    """What a log of these bytes holds; see `read`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # An undecodable byte spoils its own line only: a surrogate makes that line garbage below.
        text = data.decode("utf-8", "surrogateescape")
    records: list[dict[str, Any]] = []
    garbage: list[int] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line or (skip is not None and skip in line) or (only is not None and only not in line):
            continue
        record = _parse(line)
        if record is None:
            garbage.append(number)
        else:
            records.append(record)
    torn = bool(garbage) and garbage[-1] == len(lines)
    if torn:
        garbage.pop()
    if strict_json.may_hold_texts_of_floats(text):
        records = [strict_json.restore(record) for record in records]
    return Log(records, garbage, torn)


def truncate(path: str | os.PathLike[str], keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drops, all or nothing, every record that `keep` refuses, and with them torn and garbage lines.

    Raises:
        EpochalError: the disk is full, broken …; the log is as it was before.
    """
    try:
        data = atomic.read_bytes(path)
    except FileNotFoundError:
        return
    kept = []
    for line in data.split(b"\n"):
        record = _parse(line.decode("utf-8", "surrogateescape")) if line else None
        if record is not None and keep(strict_json.restore(record)):
            kept.append(line + b"\n")
    shortened = b"".join(kept)
    if shortened != data:
        atomic.write_bytes(path, shortened)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or (not line.isascii() and any("\udc80" <= c <= "\udcff" for c in line)):
        return None
    return record


def _heal(path: Path) -> bytes:
    """Cuts a torn last line off; returns the newline that a whole last line lacks."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            tail = b""
            start = end
            while start > 0 and b"\n" not in tail:
                step = min(start, 65536)
                start = file.seek(start - step)
                tail = file.read(step) + tail
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise atomic.explain(error, path) from error
    last = tail.rpartition(b"\n")[2]
    if not last:
        return b""
    if _parse(last.decode("utf-8", "surrogateescape")) is not None:
        return b"\n"
    try:
        os.truncate(path, end - len(last))
    except OSError as error:
        raise atomic.explain(error, path) from error
    return b""
