"""What was done when: the table `labels.csv` beside GENEActiv exports.

    file,start,end,activity,subject
    s01.csv,2011-10-09 10:25:10:000,2011-10-09 10:26:00:000,walking,S01
    s02.csv,0,42.5,sitting,S02

`start` and `end` are times by the device's clock, as the export writes them, or seconds from the export's first sample;
the sample at `end` no longer belongs. `subject` may be left out, and its cells may be empty: it is then the header's
subject code. Rows count from 1, the header's, as spreadsheets do.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data.recordings import UNLABELLED

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array
    from epochal.systems.data.geneactiv import Geneactiv

TABLE = "labels.csv"
_NEEDED = ("file", "start", "end", "activity")
_EXAMPLE = (
    "Its first row must name file, start, end, activity and, if you like, subject, with commas between them."
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[:.](\d{3}))?")


@dataclass(frozen=True)
class Interval:
    """One row: from `start` on and before `end` somebody did one thing.

    Attributes:
        place: names the row, for a message.
        start, end: a time, or seconds from the first sample.
        activity: what was done.
        subject: who did it; empty where the export's header says so.
    """

    place: str
    start: datetime | float
    end: datetime | float
    activity: str
    subject: str


def read(folder: Path) -> dict[str, list[Interval]]:
    """Reads a folder's table: the intervals of each file, by the files' names.

    Raises:
        EpochalError: no table in CSV, a column or cell that is missing, a time that is none, a file that is not there.
    """
    file = folder / TABLE
    found: dict[str, list[Interval]] = {}
    for number, row in _rows(file):
        place = f"{file}, row {number}"
        for name in _NEEDED:
            if not row[name]:
                raise EpochalError(f"{place}: {name} is empty.", hint="Fill it, or remove the row.")
        name = row["file"]
        # A plain name only: a table must not lead out of its folder.
        if Path(name).name != name or name == TABLE or not (folder / name).is_file():
            there = sorted(path.name for path in folder.glob("*.csv") if path.name != TABLE)
            raise EpochalError(
                f"{place}: there is no export {name!r} in {folder}.",
                hint=f"There {'is' if len(there) == 1 else 'are'} {', '.join(there[:8]) or 'no other .csv file'}"
                f"{' and more' * (len(there) > 8)}.",
            )
        start, end = (_time(place, side, row[side]) for side in ("start", "end"))
        found.setdefault(name, []).append(
            Interval(place, start, end, row["activity"], row.get("subject", ""))
        )
    return dict(sorted(found.items()))


def subject(intervals: Sequence[Interval], code: str) -> str:
    """Who wore the device of one file: what its rows say, else the header's subject code.

    Raises:
        EpochalError: rows name different people, or neither rows nor header name one.
    """
    named = {one.subject or code: one.place for one in intervals}
    if len(named) > 1:
        (first, _), (second, place) = list(named.items())[:2]
        raise EpochalError(
            f"{place}: the subject is {second!r}, but {first!r} in other rows of the same file.",
            hint="One export is one person's.",
        )
    if "" in named:
        raise EpochalError(
            f"{named['']}: the export's header has no subject code.",
            hint="Add a column subject: training and test need different people.",
        )
    return next(iter(named))


def activities(found: Geneactiv, intervals: Sequence[Interval], numbers: Mapping[str, int]) -> Array:
    """(N,) int16: the number of each sample's activity, `UNLABELLED` outside all intervals.

    Args:
        found: the export.
        intervals: its own.
        numbers: of the activities.

    Raises:
        EpochalError: an interval that ends before it starts, lies outside the export, or overlaps another one.
    """
    import numpy as np

    labels = np.full(len(found.samples), UNLABELLED, np.int16)
    # The last sample lasts a period; another one is for times that were rounded.
    begins, ends = found.start, found.pieces[-1].ends + timedelta(seconds=2 / found.rate_hz)
    placed = [(_absolute(one.start, begins), _absolute(one.end, begins), one) for one in intervals]
    for start, end, one in placed:
        if end <= start:
            raise EpochalError(
                f"{one.place}: the interval ends ({end}) before or as it starts ({start}).",
                hint="The end must come after the start.",
            )
        if start < begins or end > ends:
            raise EpochalError(
                f"{one.place}: {start} to {end} is not inside the recording, which lasts from {begins} to {ends}.",
                hint="Are these the device's times, or those of another file?",
            )
    placed.sort(key=lambda entry: entry[0])
    for (_, earlier_end, earlier), (start, _, one) in pairwise(placed):
        if start < earlier_end:
            raise EpochalError(
                f"{one.place}: the interval starts at {start}, inside that of {earlier.place.rpartition(', ')[2]} "
                f"(until {earlier_end}).",
                hint="A sample has one activity: let one interval end where the next one starts.",
            )
    for start, end, one in placed:
        for piece in found.pieces:
            rows = (piece.first + piece.nearest(time, found.rate_hz) for time in (start, end))
            labels[slice(*rows)] = numbers[one.activity]
    return labels


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Numbered rows of the table, by column."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(csv.reader(opened), start=1)]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise EpochalError(f"{file} cannot be read: {error}.", hint="Save it as CSV in UTF-8.") from error
    header, *rest = [(number, row) for number, row in rows if any(row)] or [(1, [""])]
    missing = [name for name in _NEEDED if name not in header[1]]
    if missing:
        raise EpochalError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
            f"{', '.join(header[1])[:200] or 'none'}.",
            hint=_EXAMPLE,
        )
    if not rest:
        raise EpochalError(f"{file} has a header and no row below it.", hint="Add a row for each interval.")
    for number, row in rest:
        if len(row) != len(header[1]):
            raise EpochalError(
                f"{file}, row {number} has {len(row)} cells; the header has {len(header[1])}.",
                hint="Every row needs as many commas as the first one.",
            )
    return [(number, dict(zip(header[1], row, strict=True))) for number, row in rest]


def _time(place: str, column: str, text: str) -> datetime | float:
    if re.fullmatch(r"-?\d{1,9}(\.\d*)?", text):
        return float(text)
    written = _TIME.fullmatch(text)
    try:
        when = datetime.fromisoformat(f"{written[1]}.{written[2] or '000'}") if written else None
    except ValueError:  # a day that the calendar has not
        when = None
    if when is None:
        raise EpochalError(
            f"{place}: {column} is {text[:60]!r}, which is no time.",
            hint="Write it as the export does, such as 2011-10-09 10:25:02:500, or in seconds from the first sample.",
        )
    return when


def _absolute(time: datetime | float, begins: datetime) -> datetime:
    return time if isinstance(time, datetime) else begins + timedelta(seconds=time)
