"""Reader of GENEActiv CSV exports: 100 lines of header, then one row a sample (see `geneactiv_rows`).

The header says who wore the device where and how often it measured; the times of the rows say whether that holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import geneactiv_rows

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

HEADER_LINES = 100
FIRST_WORDS = b"Device Type"
"""What an export begins with."""
SLOWEST, FASTEST = 1, 200
"""In Hz; the device offers 10 to 100, and times are rounded to milliseconds."""
_DEVICE_FILE = b"Device Identity"  # of the device's own .bin file
_ROW = re.compile(rb"\d{4}-\d\d-\d\d ")
_OFF = 0.01  # share by which the rate of the rows may differ from the header's
_EXPORT = "Open the device's .bin file in GENEActiv's software and export it as CSV, raw data."
Gaps = Literal["refuse", "split"]


@dataclass(frozen=True)
class Header:
    """What an export's header says; texts as written, empty where it says nothing.

    Attributes:
        rate_hz: "Measurement Frequency".
        subject: "Subject Code".
        location: "Device Location Code", such as "right wrist".
        handedness: "Handedness Code", the hand that the subject writes with.
        length: bytes of the header.
    """

    rate_hz: float
    subject: str
    location: str
    handedness: str
    length: int


@dataclass(frozen=True)
class Piece:
    """Rows that follow each other without a gap.

    Attributes:
        first: its first row.
        rows: how many.
        begins: time of its first row by the device's clock.
        ends: time of its last row.
    """

    first: int
    rows: int
    begins: datetime
    ends: datetime

    def nearest(self, time: datetime, rate_hz: float) -> int:
        """How many of its rows lie before a time: to the nearest row, from 0 to `rows`.

        Times between its first and last row are interpolated, so that a device whose clock and sensor disagree by some
        parts in a thousand is not off by minutes at the end of a week.
        """
        step = (
            (self.ends - self.begins) / (self.rows - 1) if self.rows > 1 else timedelta(seconds=1 / rate_hz)
        )
        return min(max(int((time - self.begins) / step + 0.5), 0), self.rows)


@dataclass(frozen=True)
class Geneactiv:
    """An export that was read.

    Attributes:
        path: the file.
        header: what it says of itself.
        samples: (N, 3) float32: x, y and z in g.
        pieces: its stretches without gaps, in order; one unless gaps were split.
    """

    path: Path
    header: Header
    samples: Array
    pieces: tuple[Piece, ...]

    @property
    def rate_hz(self) -> float:
        """Samples a second, as the header says and the rows confirm."""
        return self.header.rate_hz

    @property
    def start(self) -> datetime:
        """Time of the first row; the header's "Start Time" is when the device was switched on."""
        return self.pieces[0].begins

    @property
    def recording(self) -> Array:
        """(N,) int32: the number of each row's piece."""
        import numpy as np

        return np.repeat(np.arange(len(self.pieces), dtype=np.int32), [piece.rows for piece in self.pieces])


def read(path: Path, *, gaps: Gaps = "refuse") -> Geneactiv:
    """Reads an export and checks that its samples follow each other as its header says.

    Args:
        path: the CSV file. Windows line ends and a byte order mark are fine.
        gaps: what to do where samples are missing: "refuse" the file, or "split" it into pieces.

    Raises:
        EpochalError: it is no export, cut off, or damaged; a row is wrong; its times do not fit the header's rate, run
            backwards, or leave a gap. The message names file and line.
    """
    import numpy as np

    if gaps not in ("refuse", "split"):
        raise UsageError(f'gaps is {gaps!r}; "refuse" or "split" is needed.')
    header = read_header(path)
    clock = _Clock(path, header.rate_hz, gaps)
    blocks = []
    try:
        with open(path, "rb") as file:
            file.seek(header.length)
            for times, samples in geneactiv_rows.parse(file, path, HEADER_LINES + 1):
                clock.add(times)
                blocks.append(samples)
    except OSError as error:
        raise EpochalError(f"{path} cannot be read: {error}.") from error
    if not blocks:
        raise EpochalError(f"{path} has a header and no sample below it.", hint=_EXPORT)
    return Geneactiv(path, header, np.concatenate(blocks), clock.pieces())


def read_header(path: Path) -> Header:
    """Reads the 100 lines above the samples, and nothing else.

    Raises:
        EpochalError: the file is no export, its header is cut off, or says no rate.
    """
    lines, length = _header_lines(path)
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.decode("latin-1").partition(",")
        found.setdefault(key.strip(), value.strip())
    text = found.get("Measurement Frequency", "")
    number = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(?:Hz)?", text)
    if not number or not SLOWEST <= float(number[1]) <= FASTEST:
        line_number = 1 + next((n for n, line in enumerate(lines) if line.startswith(b"Measurement")), 10)
        raise EpochalError(
            f"{path}, line {line_number}: the header's Measurement Frequency is {text!r}.",
            hint=f"It must be from {SLOWEST} to {FASTEST} Hz, such as 100 Hz: it says how long a sample lasts.",
        )
    return Header(
        rate_hz=float(number[1]),
        subject=found.get("Subject Code", ""),
        location=found.get("Device Location Code", ""),
        handedness=found.get("Handedness Code", ""),
        length=length,
    )


def _header_lines(path: Path) -> tuple[list[bytes], int]:
    """The header's lines, and its length in bytes."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
            file.seek(0)
            lines = [file.readline(4096) for _ in range(HEADER_LINES)]
            length = file.tell()
    except OSError as error:
        raise EpochalError(f"{path} cannot be read: {error}.") from error
    if not start:
        raise EpochalError(f"{path} is empty.", hint=_EXPORT)
    if b"\0" in start or start.startswith(_DEVICE_FILE):
        raise EpochalError(f"{path} is no CSV export of GENEActiv but a binary or device file.", hint=_EXPORT)
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    if not lines[0].startswith(FIRST_WORDS):
        raise EpochalError(
            f"{path}, line 1: {lines[0][:40].decode('latin-1').strip()!r} begins no GENEActiv header "
            f"({HEADER_LINES} lines, of which the first names the Device Type).",
            hint="Leave the header in the file: it says how often was measured. " + _EXPORT,
        )
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n") or _ROW.match(line):
            there = "a sample stands" if _ROW.match(line) else "the file ends"
            raise EpochalError(
                f"{path}, line {number}: {there} inside the header, which has {HEADER_LINES} lines.",
                hint="Leave the header whole: the samples begin in line "
                f"{HEADER_LINES + 1}. Or copy or export it anew.",
            )
    return lines, length


@dataclass
class _Clock:
    """Follows the times of the rows: are they as far apart as the header says, and where is a gap?"""

    path: Path
    rate_hz: float
    gaps: Gaps
    rows: int = 0
    last: int | None = None
    firsts: list[int] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, times: Array) -> None:
        """The next rows' times in ms; none is kept but those at the edges of pieces."""
        import numpy as np

        period = 1000 / self.rate_hz
        before = times[0] - round(period) if self.last is None else self.last
        steps = np.diff(times, prepend=before)
        if self.last is None:
            self.firsts, self.begins = [0], [int(times[0])]
            typical = float(np.median(steps))
            if typical > 0 and abs(typical - period) > max(1.0, 0.05 * period):  # 1 ms: times are rounded
                raise self._contradiction(1000 / typical)
        odd = np.flatnonzero((steps < period / 2) | (steps >= 1.5 * period))
        for row in odd:
            self._judge(int(row), int(times[row] - steps[row]), int(times[row]))
        self.rows += len(times)
        self.last = int(times[-1])

    def _judge(self, row: int, before: int, now: int) -> None:
        """A row that does not come one period after the one before it."""
        place = f"{self.path}, line {HEADER_LINES + 1 + self.rows + row}"
        steps = (now - before) * self.rate_hz / 1000
        if steps < 1:
            raise EpochalError(
                f"{place}: {_shown(now)} follows {_shown(before)}; at {self.rate_hz:g} Hz a row comes every "
                f"{1000 / self.rate_hz:g} ms.",
                hint="Rows must be in the order of time, each once. " + _EXPORT,
            )
        if self.gaps == "refuse":
            missing = round(steps) - 1
            raise EpochalError(
                f"{place}: a gap: {missing:,} sample{'s' * (missing > 1)} ({missing / self.rate_hz:g} s) missing "
                f"between {_shown(before)} and {_shown(now)}.",
                hint='Export it anew, cut the file there into two, or read it with gaps="split": what lies before '
                "and after a gap are then recordings of their own.",
            )
        self.ends.append(before)
        self.firsts.append(self.rows + row)
        self.begins.append(now)

    def pieces(self) -> tuple[Piece, ...]:
        """The pieces, once all rows were added.

        Raises:
            EpochalError: one runs faster or slower than the header says.
        """
        assert self.last is not None
        ends, nexts = [*self.ends, self.last], [*self.firsts[1:], self.rows]
        found = []
        for first, following, begins, end in zip(self.firsts, nexts, self.begins, ends, strict=True):
            steps, took = following - first - 1, end - begins
            if abs(took - steps * 1000 / self.rate_hz) > 2 + _OFF * took:
                raise self._contradiction(1000 * steps / took)
            found.append(Piece(first, following - first, _when(begins), _when(end)))
        return tuple(found)

    def _contradiction(self, measured: float) -> EpochalError:
        return EpochalError(
            f"{self.path}: the header's Measurement Frequency is {self.rate_hz:g} Hz, but the times of the rows (from "
            f"line {HEADER_LINES + 1}) make {measured:.4g} Hz.",
            hint="One of them is wrong: were rows left out, or files put together? " + _EXPORT,
        )


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(milliseconds=ms)


def _shown(ms: int) -> str:
    when = _when(ms)
    return f"{when:%Y-%m-%d %H:%M:%S}:{when.microsecond // 1000:03}"
