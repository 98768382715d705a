"""The rows of a GENEActiv CSV export, parsed by the million: time, x, y, z, light, button, temperature.

    2011-10-09 10:25:02:500,-0.421,-0.6751,0.305,48,0,24.5

A week at 100 Hz is 60 million of them: whole blocks of bytes are parsed at once, and only a row that is not as it must
be is looked at by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

CELLS = 7
AXES = ("x", "y", "z")
LARGEST = 16.0
"""In g; the sensor measures ±8 g, so that more is no measurement."""
_BLOCK = 1 << 18  # bytes: what is parsed at once should fit into a core's cache
_LONGEST = 18  # characters of a number that 64 bits hold
_TIME = "2011-10-09 10:25:02:500"
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class _Block:
    """Whole lines of a file.

    Attributes:
        path: the file.
        line: number of the first line, from 1.
        data: (bytes,) uint8.
        starts, ends: (n,) of each line; `ends` is where its line feed stands.
        commas: (n, CELLS - 1) where the commas of each line stand.
    """

    path: Path
    line: int
    data: Array
    starts: Array
    ends: Array
    commas: Array

    def bad(self, row: int, what: str, hint: str) -> EpochalError:
        """The error for one row."""
        return EpochalError(f"{self.path}, line {self.line + row}: {what}", hint=hint)

    def text(self, start: int, end: int) -> str:
        """Some bytes as a message shows them."""
        return self.data[start:end].tobytes().decode("latin-1").strip()[:60]


def parse(file: BinaryIO, path: Path, line: int) -> Iterator[tuple[Array, Array]]:
    """Parses the rest of a file, some thousand rows at a time.

    Only time and accelerations are read; light, button and temperature may hold anything.

    Args:
        file: opened in binary, at the beginning of a row.
        path: its name, for messages.
        line: the number of that row's line, from 1.

    Yields:
        Times (n,) int64 in ms since 1970 by the device's clock, and samples (n, 3) float32 in g.

    Raises:
        EpochalError: a row lacks cells or has too many, its time or an acceleration is none, or the file ends inside
            a line; the message names file and line.
    """
    rest = b""
    while more := file.read(_BLOCK):
        whole, feed, rest = (rest + more).rpartition(b"\n")
        if not feed:
            if len(rest) > _BLOCK:
                raise EpochalError(f"{path}, line {line}: the line has no end.", hint=_EXPORT)
            continue
        block = _split(path, line, whole + feed)
        yield _times(block), _samples(block)
        line += len(block.starts)
    if rest:
        raise EpochalError(
            f"{path}, line {line}: the file ends inside this line ({rest[:60].decode('latin-1')!r}).",
            hint="Copy or export it anew. If nothing is lost, end the line.",
        )


_EXPORT = (
    "Export the recording anew with GENEActiv's software, as raw data (no epochs) and with decimal points."
)


def _split(path: Path, line: int, lines: bytes) -> _Block:
    import numpy as np

    data = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([ends[:1] * 0, ends[:-1] + 1])
    commas = np.flatnonzero(data == ord(","))
    separators = CELLS - 1
    if len(commas) == separators * len(ends):
        table = commas.reshape(-1, separators)
        if (table[:, 0] >= starts).all() and (table[:, -1] < ends).all():
            return _Block(path, line, data, starts, ends, table)
    block = _Block(path, line, data, starts, ends, commas)
    counts = np.diff(np.searchsorted(commas, ends), prepend=0)
    row = int(np.argmax(counts != separators))
    raise _wrong_cells(block, row, int(counts[row]) + 1)


def _wrong_cells(block: _Block, row: int, cells: int) -> EpochalError:
    text = block.text(block.starts[row], block.ends[row])
    decimal_commas = "It seems to be written with decimal commas or semicolons. " + _EXPORT
    if (cells > CELLS and not re.search(r"\.\d", text)) or ";" in text:
        hint = decimal_commas
    elif cells > CELLS:
        hint = "It seems to be a summary by epochs. " + _EXPORT
    else:
        hint = "Was the file written or copied to its end? " + _EXPORT
    found = f"{cells} cell{'s' * (cells > 1)}" if text else "nothing"
    return block.bad(
        row, f"the row has {found}, not {CELLS} (time, x, y, z, light, button, temperature).", hint
    )


def _times(block: _Block) -> Array:
    """Milliseconds since 1970 of each row."""
    import numpy as np

    template = np.frombuffer(_TIME.encode(), np.uint8)
    digits = np.flatnonzero((template >= ord("0")) & (template <= ord("9")))
    marks = np.setdiff1d(np.arange(len(template)), digits)
    # A first row of another length must not be read beyond the block's end.
    at = np.minimum(block.starts[:, None] + np.arange(len(template)), len(block.data) - 1)
    written = block.data[at]
    values = written[:, digits] - np.uint8(ord("0"))  # what is below "0" wraps around
    day, hour, minute, second, ms = (values @ _places(digits)).astype(np.int64).T
    good = (block.commas[:, 0] - block.starts == len(template)) & (values <= 9).all(1)
    good &= (written[:, marks] == template[marks]).all(1) & (hour < 24) & (minute < 60) & (second < 60)
    if not good.all():
        raise _no_time(block, int(np.argmin(good)))
    days, which = np.unique(day, return_inverse=True)
    since = [_day(int(one)) for one in days]
    if None in since:
        raise _no_time(block, int(np.argmax(which == since.index(None))))
    times: Array = np.array(since)[which] * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000 + ms
    return times


def _places(digits: Array) -> Array:
    """(digits, 5) what each digit of a time is worth in day (YYYYMMDD), hour, minute, second and millisecond.

    In float64, for NumPy multiplies matrices of whole numbers slowly.
    """
    import numpy as np

    worth = np.zeros((len(digits), 5))
    first = 0
    for column, length in enumerate((8, 2, 2, 2, 3)):
        worth[first : first + length, column] = 10.0 ** np.arange(length - 1, -1, -1)
        first += length
    return worth


def _day(number: int) -> int | None:
    """Days from 1970 to YYYYMMDD, None where the calendar has no such day."""
    from datetime import date

    try:
        return (date(number // 10_000, number // 100 % 100, number % 100) - date(1970, 1, 1)).days
    except ValueError:
        return None


def _no_time(block: _Block, row: int) -> EpochalError:
    found = block.text(block.starts[row], block.commas[row, 0])
    return block.bad(row, f"the time is {found!r}.", f"It must be written like {_TIME}. {_EXPORT}")


def _samples(block: _Block) -> Array:
    """(n, 3) float32 in g."""
    import numpy as np

    starts, ends = (block.commas[:, :3] + 1).ravel(), block.commas[:, 1:4].ravel()
    values, plain = _decimals(block.data, starts, ends)
    for odd in np.flatnonzero(~plain).tolist():  # an exponent, spaces, many digits, or no number at all
        values[odd] = _number(block, odd, int(starts[odd]), int(ends[odd]))
    wrong = np.abs(values) > LARGEST
    if wrong.any():
        field = int(np.argmax(wrong))
        raise block.bad(
            field // 3,
            f"{AXES[field % 3]} is {values[field]:g} g, beyond the {LARGEST:g} g that a wrist can give.",
            "The samples must be calibrated, in g. " + _EXPORT,
        )
    return values.astype(np.float32).reshape(-1, 3)


def _decimals(data: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Numbers written as digits with at most one point and one sign, exact to the last bit.

    Returns:
        Their values (n,) float64, and where they are so written (n,) bool; the values elsewhere mean nothing.
    """
    import numpy as np

    width = ends - starts
    first = data[starts]
    digits, point = (np.zeros(len(starts), np.int64) for _ in range(2))
    whole = digits.copy()
    for place in range(min(int(width.max(initial=0)), _LONGEST)):
        # What follows a number is a comma: neither digit nor point.
        character = data[np.minimum(starts + place, ends)]
        digit = character - np.uint8(ord("0"))
        is_digit = digit <= 9
        whole = np.where(is_digit, whole * 10 + digit, whole)
        digits += is_digit
        point += np.where(character == ord("."), place + 1, 0)
    signed = (first == ord("-")) | (first == ord("+"))
    after = np.where(point > 0, width - point, 0)
    plain = (width <= _LONGEST) & (digits > 0) & (digits + signed + (point > 0) == width)
    powers = 10.0 ** np.arange(_LONGEST + 1)
    values = whole / powers[np.clip(after, 0, _LONGEST)]
    return np.where(first == ord("-"), -values, values), plain


def _number(block: _Block, field: int, start: int, end: int) -> float:
    written = block.data[start:end].tobytes().strip()
    if _NUMBER.fullmatch(written):
        return float(written)
    row, axis = divmod(field, 3)
    shown = repr(block.text(start, end)) if written else "empty"
    raise block.bad(
        row,
        f"{AXES[axis]} is {shown}; a number with a decimal point is needed.",
        "No sample may be left out or filled in by hand: nothing can be told from what was not measured. "
        + _EXPORT,
    )
