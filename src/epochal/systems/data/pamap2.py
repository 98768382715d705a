"""Three inertial sensors and a heart-rate monitor, 9 people, 12 activities (PAMAP2; Reiss and Stricker 2012).

Read from the published text files, `Protocol/subject101.dat` to `subject109.dat`: 54 columns at 100 Hz. Used are 40 of
them: the heart rate, and of each sensor (hand, chest, ankle) its temperature, both accelerometers (±16 g, ±6 g), the
gyroscope and the magnetometer; the orientation, which its publisher calls invalid, is left out. What is missing is
filled per person, linearly in time, the first and last known value held to the ends. Then every third sample is kept
(33.3 Hz), without a low-pass filter, as those do who report results on these data. The samples are in their own units:
scaling them needs the ranges of the training subjects, which only the recipe knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.systems.data import recordings
from epochal.systems.data.dataset import Check
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

FOLDER = "Protocol"
SUBJECTS = tuple(range(101, 110))
COLUMNS = 54
ACTIVITIES = {
    1: "lying",
    2: "sitting",
    3: "standing",
    4: "walking",
    5: "running",
    6: "cycling",
    7: "Nordic walking",
    12: "ascending stairs",
    13: "descending stairs",
    16: "vacuum cleaning",
    17: "ironing",
    24: "rope jumping",
}
_UNUSED_ACTIVITIES = (
    0,
    9,
    10,
    11,
    18,
    19,
    20,
)  # between two activities, and those of the optional recordings
_SENSORS = {"hand": 3, "chest": 20, "ankle": 37}
_OF_A_SENSOR = (
    "temperature",
    *(f"{what} {axis}" for what in ("acc16", "acc6", "gyro", "mag") for axis in "xyz"),
)
CHANNELS = ("heart rate", *(f"{sensor} {what}" for sensor in _SENSORS for what in _OF_A_SENSOR))
_USED = (2, *(first + column for first in _SENSORS.values() for column in range(len(_OF_A_SENSOR))))
PERIOD = 0.01
"""Seconds between two rows."""
EVERY = 3
"""One row of so many is kept."""
ROWS = 2_872_533
"""Rows of the nine published files."""
PUBLISHED = "https://archive.ics.uci.edu/dataset/231/pamap2+physical+activity+monitoring"


@dataclass(frozen=True, kw_only=True)
class Pamap2(FileSource):
    """Columns as `recordings` says, 40 channels; a recording ends where rows are missing."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The folder Protocol, or this folder if it is that one: Optional holds files of the same names."""
        folder = place if place.name == FOLDER else place / FOLDER
        files = {f"subject{number}.dat": folder / f"subject{number}.dat" for number in SUBJECTS}
        missing = tuple(name for name, path in files.items() if not path.is_file())
        return Location(folder, files, missing) if len(missing) < len(files) else None

    def slow(self, location: Location) -> bool:
        """1.6 GB of text are read."""
        return True

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads everybody's file, fills what is missing and keeps every third sample."""
        import numpy as np

        parts: list[dict[str, Array]] = []
        first = 0
        for number, path in zip(SUBJECTS, (location.files or {}).values(), strict=True):
            part = self._recorded(path, number, first)
            first = int(part["recording"][-1]) + 1
            parts.append(part)
        train = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        splits = {"train": train, "test": recordings.nobody(train)}
        return splits, splits_digest(splits)

    def extras(self, location: Location, splits: Splits) -> Mapping[str, Any]:
        """Rate, unit and channels."""
        return {
            "rate_hz": 1 / (PERIOD * EVERY),
            "unit": "mixed units (beats a minute, °C, m/s², rad/s, µT)",
            "channels": CHANNELS,
        }

    def published_checks(self, location: Location) -> list[Check]:
        """Its publisher gives no digest; the number of rows tells whether a file ends too early."""
        if location.missing:
            return []
        try:
            rows = sum(map(_rows, (location.files or {}).values()))
        except OSError as error:
            return [Check("rows", False, str(error))]
        return [Check("rows", rows == ROWS, f"{rows:,} of {ROWS:,} rows")]

    def _recorded(self, path: Path, subject: int, first: int) -> dict[str, Array]:
        """The four columns of one file, its recordings numbered from `first` on."""
        import numpy as np

        table = self._table(path)
        time, activity = table[:, 0], table[:, 1]
        lasting = np.diff(time)
        if (lasting < 0).any():
            line = _line(path, int(np.flatnonzero(lasting < 0)[0]) + 1)
            raise EpochalError(f"{path}, line {line}: the time goes back.", hint=self.remedy)
        begins = np.concatenate([[True], abs(lasting - PERIOD) > PERIOD / 2])
        recording = np.cumsum(begins) - 1
        within = np.arange(len(time)) - np.flatnonzero(begins)[recording]
        kept = within % EVERY == 0
        label = np.full(max(*ACTIVITIES, *_UNUSED_ACTIVITIES) + 1, recordings.UNLABELLED)
        label[list(ACTIVITIES)] = range(len(ACTIVITIES))
        return recordings.columns(
            self._filled(time, table[:, _USED], path)[kept],
            label[activity[kept].astype(int)],
            np.full(kept.sum(), subject),
            first + recording[kept],
        )

    def _table(self, path: Path) -> Array:
        """All rows of a file (n, 54), of which only channels may be NaN."""
        import numpy as np

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty file
                table: Array = np.loadtxt(path, comments=None, encoding="latin-1", ndmin=2)
        except OSError as error:
            raise EpochalError(f"{path} cannot be read: {error}.", hint=self.remedy) from error
        except ValueError as error:
            raise EpochalError(_wrong_line(path) or f"{path}: {error}.", hint=self.remedy) from error
        if not table.size:
            raise EpochalError(f"{path} is empty.", hint=self.remedy)
        if table.shape[1] != COLUMNS:
            raise EpochalError(_wrong_line(path) or f"{path} is no table.", hint=self.remedy)
        channels = table[:, _USED]
        known = np.isin(table[:, 1], [*ACTIVITIES, *_UNUSED_ACTIVITIES])
        for wrong, what in (
            (~np.isfinite(table[:, 0]), "there is no time"),
            (~known, "the activity is none of those that are published"),
            (np.isinf(channels).any(axis=1), "a channel is infinite"),
        ):
            if wrong.any():
                line = _line(path, int(np.flatnonzero(wrong)[0]))
                raise EpochalError(f"{path}, line {line}: {what}.", hint=self.remedy)
        return table

    def _filled(self, time: Array, channels: Array, path: Path) -> Array:
        """The same channels (n, 40) without NaN."""
        import numpy as np

        for name, channel in zip(CHANNELS, channels.T, strict=True):
            missing = np.isnan(channel)
            if missing.all():
                raise EpochalError(f"{path} has no value of {name}.", hint=self.remedy)
            if missing.any():
                channel[missing] = np.interp(time[missing], time[~missing], channel[~missing])
        return channels


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are rows, with their numbers."""
    with open(path, encoding="latin-1") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _line(path: Path, row: int) -> int:
    """The number of the line of a row."""
    return next(number for place, (number, _) in enumerate(_lines(path)) if place == row)


def _wrong_line(path: Path) -> str | None:
    """What is wrong with the first line that is no row."""
    for number, line in _lines(path):
        cells = line.split()
        if len(cells) != COLUMNS:
            return f"{path}, line {number} has {len(cells)} columns; {COLUMNS} are needed."
        for column, cell in enumerate(cells, 1):
            try:
                float(cell)
            except ValueError:
                return f"{path}, line {number}, column {column}: {cell[:40]!r} is no number."
    return None


def _rows(path: Path) -> int:
    return sum(1 for _ in _lines(path))


PAMAP2 = Pamap2(
    name="pamap2",
    what="recordings of 3 inertial sensors and the heart rate, 40 channels, 12 activities, 9 people (PAMAP2)",
    kind=recordings.KIND,
    classes=tuple(ACTIVITIES.values()),
    licence="CC BY 4.0 at UCI (from memory); asks to be cited",
    items=(len(SUBJECTS), 0),
    stand_in="wrist",
    folders=("pamap2", "PAMAP2", "PAMAP2_Dataset", "pamap2/PAMAP2_Dataset", "PAMAP2/PAMAP2_Dataset"),
    by_hand=f"the folder {FOLDER} (subject101.dat to subject109.dat) of PAMAP2_Dataset.zip, unpacked, from {PUBLISHED}",
)
