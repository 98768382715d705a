"""GENEActiv recordings of one's own: a folder with CSV exports and a table of what was done when.

The table is `labels.csv` (see `geneactiv_labels`). Exports that it names are read, others not; a gap in an export ends
one recording and begins another. Everybody is for training: the people are divided later (`recordings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.systems.data import geneactiv, geneactiv_labels, recordings
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits
    from epochal.systems.data.geneactiv_labels import Interval

CHANNELS = ("x", "y", "z")


@dataclass(frozen=True)
class _Contents:
    """What the table and the headers say, before a sample is read.

    Attributes:
        intervals: of each file, files by name.
        subjects: of each file.
        people: all of them, sorted: a subject's number is its place here.
        classes: all activities, sorted.
        rate_hz: of all files.
    """

    intervals: Mapping[str, list[Interval]]
    subjects: Mapping[str, str]
    people: tuple[str, ...]
    classes: tuple[str, ...]
    rate_hz: float


@dataclass(frozen=True, kw_only=True)
class GeneactivFolder(FileSource):
    """Columns as `recordings` says; `extras` adds "subjects", their names in the order of their numbers."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """A folder with the table and an export beside it."""
        table = place / geneactiv_labels.TABLE
        if not table.is_file():
            return None
        exports = [path for path in sorted(place.glob("*.csv")) if path != table and path.is_file()]
        if not named and not any(map(_begins_an_export, exports)):
            return None
        return Location(place, {path.name: path for path in (table, *exports)})

    def slow(self, location: Location) -> bool:
        """A week at 100 Hz is 3 GB of text."""
        return True

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the exports that the table names, in the order of their names."""
        import numpy as np

        contents = _contents(location.path)
        numbers = {activity: number for number, activity in enumerate(contents.classes)}
        samples, activity, subject, recording = [], [], [], []
        begun = 0
        for name, intervals in contents.intervals.items():
            found = geneactiv.read(location.path / name, gaps="split")
            samples.append(found.samples)
            activity.append(geneactiv_labels.activities(found, intervals, numbers))
            subject.append(np.full(len(found.samples), contents.people.index(contents.subjects[name])))
            recording.append(found.recording + begun)
            begun += len(found.pieces)
        train = recordings.columns(
            *(np.concatenate(parts) for parts in (samples, activity, subject, recording))
        )
        splits = {"train": train, "test": recordings.nobody(train)}
        return splits, splits_digest(splits)

    def extras(self, location: Location, splits: Splits) -> Mapping[str, Any]:
        """Rate, unit and channels; classes and people as table and headers name them."""
        contents = _contents(location.path)
        return {
            "rate_hz": contents.rate_hz,
            "unit": "g",
            "channels": CHANNELS,
            "classes": contents.classes,
            "subjects": contents.people,
        }


def _begins_an_export(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return geneactiv.FIRST_WORDS in file.read(len(geneactiv.FIRST_WORDS) + 3)
    except OSError:
        return False


def _contents(folder: Path) -> _Contents:
    """Reads the table, and the headers of the files that it names.

    Raises:
        EpochalError: as `geneactiv_labels.read` and `geneactiv.read_header`; files with different rates.
    """
    intervals = geneactiv_labels.read(folder)
    headers = {name: geneactiv.read_header(folder / name) for name in intervals}
    first, rate = next((name, header.rate_hz) for name, header in headers.items())
    for name, header in headers.items():
        if header.rate_hz != rate:
            raise EpochalError(
                f"{folder}: {name} was measured at {header.rate_hz:g} Hz, but {first} at {rate:g} Hz.",
                hint="All exports of a folder need one rate: put those of each rate into a folder of their own.",
            )
    subjects = {name: geneactiv_labels.subject(intervals[name], headers[name].subject) for name in headers}
    activities = {one.activity for rows in intervals.values() for one in rows}
    return _Contents(
        intervals, subjects, tuple(sorted({*subjects.values()})), tuple(sorted(activities)), rate
    )


GENEACTIV_FOLDER = GeneactivFolder(
    name="geneactiv-folder",
    what="wrist recordings of your own (--data.dir): GENEActiv CSV exports and labels.csv, what was done when",
    kind=recordings.KIND,
    classes=(),
    licence="that of your recordings",
    items=(0, 0),
    stand_in="wrist",
    folders=("geneactiv", "geneactiv-folder"),
    by_hand="GENEActiv CSV exports and labels.csv (columns file, start, end, activity and perhaps subject)",
)
