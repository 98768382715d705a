"""Windows of one's own as arrays in a folder: `X`, `y` and `subject`, with `about.json` that says what they are.

The arrays are members of `arrays.npz`, or files `X.npy`, `y.npy`, `subject.npy`:

- `X` (n, channels, samples): windows, each a recording of its own,
- `y` (n,) whole numbers: the activity of each, -1 where it is not known,
- `subject` (n,) whole numbers: who wore the sensor, -1 where nobody says,
- `split` (n,), if they are divided already: "train" and "test", or 0 and 1.

`about.json` must give `rate_hz` and `unit`. It may give `channels`, their names, and `classes`, the name of each label
from 0 on; without it each label that occurs is a class that bears its number as name:

    {"rate_hz": 100, "unit": "g", "classes": ["lying", "walking"], "channels": ["x", "y", "z"]}
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import npz, recordings
from epochal.systems.data.dataset import Check, Dataset, Verification
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import Source, roots

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

ARCHIVE, ABOUT = "arrays.npz", "about.json"
NEEDED, DIVISION = ("X", "y", "subject"), "split"
FORM = (
    "Needed are X (n, channels, samples), y (n,) and subject (n,) in arrays.npz or as .npy files, and about.json: "
    '{"rate_hz": 100, "unit": "g"}.'
)
HIGHEST_RATE = 1_000_000
_SPELT = {"m/s^2": "m/s²", "m/s2": "m/s²", "ms-2": "m/s²"}


@dataclass(frozen=True)
class About:
    """What `about.json` says; None where it says nothing."""

    rate_hz: float
    unit: str
    classes: tuple[str, ...] | None
    channels: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class ArraysFolder(Source):
    """The folder that `--data.dir` names, and no other: `$EPOCHAL_DATA` and the cache are not searched."""

    def find(self, folder: str | None) -> Path | None:
        """The folder, if it holds the windows."""
        if not folder:
            return None
        place = roots(folder)[0]
        return place if (place / ARCHIVE).is_file() or (place / "X.npy").is_file() else None

    def load(self, folder: str | None) -> Dataset:
        """Columns as `recordings` says; the number of a recording is its row in `X`."""
        place = self._named(folder)
        about = _about(place / ABOUT)
        arrays = _arrays(place)
        x = _samples(arrays["X"], place)
        labels, subject = (_whole(name, arrays[name], len(x), place) for name in ("y", "subject"))
        classes, activity = _classes(labels, about, place)
        channels = _channels(about, x.shape[1], place)
        testing = _testing(arrays.get(DIVISION), len(x), place)
        splits = {
            "train": _joined(x, activity, subject, ~testing),
            "test": _joined(x, activity, subject, testing),
        }
        extras = {"rate_hz": about.rate_hz, "unit": about.unit, "classes": classes, "channels": channels}
        extras["window"] = x.shape[2]
        return Dataset(self.name, str(place), False, splits_digest(splits), classes, splits, extras)

    def fetch(self, folder: str | None) -> Path:
        """Reads and checks it: nothing can be downloaded."""
        self.load(folder)
        return self._named(folder)

    def verify(self, folder: str | None) -> Verification:
        """Reads it; what is wrong is a failed check."""
        try:
            found = self.load(folder)
            columns, window = found.splits["train"], found.extras["window"]
            rows = sum(len(split["subject"]) for split in found.splits.values())
            told = (
                f"{rows // window:,} windows of {columns['samples'].shape[1]} channels x {window} samples "
                f"({window / found.extras['rate_hz']:g} s); SHA-256 {found.sha256}"
            )
            check = Check("items", True, told)
        except EpochalError as error:
            check = Check("items", False, error.what)
        return Verification(self.name, folder or None, (check,))

    def _named(self, folder: str | None) -> Path:
        if not folder:
            raise UsageError(
                f"{self.name} needs a folder with arrays of windows.",
                hint=f"Name it: --data.dir FOLDER. `--data.source {self.stand_in}` needs no files.",
            )
        return roots(folder)[0]


def _about(path: Path) -> About:
    """What the arrays are."""
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise EpochalError(
            f"There is no {ABOUT} in {path.parent}: the rate is missing.", hint=FORM
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise EpochalError(f"{path} cannot be read as JSON: {error}.", hint=FORM) from error
    known = ("rate_hz", "unit", "classes", "channels")
    if not isinstance(said, dict) or (unknown := sorted(set(said) - set(known))):
        what = f"has {', '.join(unknown)}" if isinstance(said, dict) else "is no JSON object"
        raise EpochalError(f"{path} {what}; it may have {', '.join(known)}.", hint=FORM)
    if missing := [key for key in known[:2] if key not in said]:
        raise EpochalError(f"{path} lacks {' and '.join(missing)}.", hint=FORM)
    rate, unit = said["rate_hz"], said["unit"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= HIGHEST_RATE:
        raise EpochalError(
            f"{path}: rate_hz is {rate!r}; a number above 0, at most {HIGHEST_RATE:,}, is needed.", hint=FORM
        )
    if not isinstance(unit, str) or not unit.strip():
        raise EpochalError(f'{path}: unit is {unit!r}; a text such as "g" or "m/s²" is needed.', hint=FORM)
    return About(
        float(rate),
        _SPELT.get(unit.strip(), unit.strip()),
        _names(said, "classes", path),
        _names(said, "channels", path),
    )


def _names(said: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...] | None:
    if key not in said:
        return None
    names = said[key]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise EpochalError(f"{path}: {key} is {names!r}; a list of names is needed.", hint=FORM)
    if len(set(names)) < len(names):
        raise EpochalError(f"{path}: {key} has a name twice: {', '.join(names)}.", hint="Names must differ.")
    return tuple(names)


def _arrays(place: Path) -> dict[str, Array]:
    """The arrays of the folder by name, none of them pickled."""
    archive = place / ARCHIVE
    files = {name: place / f"{name}.npy" for name in (*NEEDED, DIVISION)}
    if archive.is_file():
        if files["X"].is_file():
            raise EpochalError(f"{place} holds both {ARCHIVE} and X.npy.", hint="Remove one of them.")
        return npz.read(archive, (*NEEDED, *(DIVISION,) * _has_division(archive)), hint=FORM)
    if not files["X"].is_file():
        raise EpochalError(f"{place} holds neither {ARCHIVE} nor X.npy.", hint=FORM)
    if missing := [files[name].name for name in NEEDED if not files[name].is_file()]:
        raise EpochalError(f"{place} lacks {' and '.join(missing)}.", hint=FORM)
    return {name: _array(path) for name, path in files.items() if path.is_file()}


def _has_division(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as members:
            return f"{DIVISION}.npy" in members.namelist()
    except (OSError, zipfile.BadZipFile):
        return False  # `npz.read` says what is wrong


def _array(path: Path) -> Array:
    import numpy as np

    try:
        with open(path, "rb") as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except ValueError as error:  # NumPy's own words advise to load a pickle all the same
        raise EpochalError(
            f"{path} is no .npy file of a plain array: it is damaged, or holds pickled objects.",
            hint="Save it anew with numpy.save as an array of numbers.",
        ) from error
    except (OSError, EOFError, MemoryError, TypeError) as error:
        raise EpochalError(f"{path} cannot be read: {error}.", hint=FORM) from error


def _samples(x: Array, place: Path) -> Array:
    """The windows (n, channels, samples) as float32."""
    import numpy as np

    if x.dtype.kind not in "fiu":
        raise EpochalError(f"{place}: X holds {x.dtype}; numbers are needed.", hint=FORM)
    if x.ndim != 3 or not x.size:
        raise EpochalError(
            f"{place}: X has the shape {x.shape}; (n, channels, samples) is needed.", hint=FORM
        )
    if x.shape[1] > x.shape[2]:
        raise EpochalError(
            f"{place}: X has the shape {x.shape}: {x.shape[1]} channels of {x.shape[2]} samples.",
            hint=f"Channels stand before samples; are these the other way round? {FORM}",
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is found below
        numbers: Array = x.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=(1, 2)))
    if bad.size:
        raise EpochalError(
            f"{place}: X[{bad[0]}] holds NaN or infinite samples, as do {len(bad):,} of {len(x):,} windows.",
            hint="Fill the gaps, or leave these windows out.",
        )
    return numbers


def _whole(name: str, numbers: Array, windows: int, place: Path) -> Array:
    """A column of whole numbers from -1 on."""
    import numpy as np

    if numbers.shape != (windows,):
        raise EpochalError(
            f"{place}: {name} has the shape {numbers.shape}, but X has {windows:,} windows; ({windows},) is needed.",
            hint=FORM,
        )
    if numbers.dtype.kind not in "iu":
        raise EpochalError(
            f"{place}: {name} holds {numbers.dtype}; whole numbers are needed.",
            hint=f"Save {name}.astype(int) where its numbers are whole; of names, number them.",
        )
    bad = (numbers < -1) | (numbers > np.iinfo(np.int32).max)
    if bad.any():
        raise EpochalError(
            f"{place}: {name} holds {numbers[bad][0]}; whole numbers from 0 to 2,147,483,647 are allowed, "
            "and -1 for what is not known.",
            hint=FORM,
        )
    return numbers.astype(np.int64)


def _classes(labels: Array, about: About, place: Path) -> tuple[tuple[str, ...], Array]:
    """Names of the classes, and each label as index into them."""
    import numpy as np

    known = labels >= 0
    if about.classes is None:
        found, index = np.unique(labels[known], return_inverse=True)
        activity = np.full(len(labels), recordings.UNLABELLED)
        activity[known] = index
        return tuple(map(str, found.tolist())), activity
    if (labels >= len(about.classes)).any():
        raise EpochalError(
            f"{place}: y holds {labels.max()}, but {ABOUT} names {len(about.classes)} class"
            f"{'es' * (len(about.classes) > 1)}: "
            f"labels go from 0 to {len(about.classes) - 1}.",
            hint="Name every class, or number the labels from 0 on.",
        )
    return about.classes, np.where(known, labels, recordings.UNLABELLED)


def _channels(about: About, count: int, place: Path) -> tuple[str, ...]:
    if about.channels is None:
        return ("x", "y", "z") if count == 3 else tuple(f"channel {number}" for number in range(1, count + 1))
    if len(about.channels) != count:
        raise EpochalError(
            f"{place}: X has {count} channels, but {ABOUT} names {len(about.channels)}: {', '.join(about.channels)}.",
            hint=FORM,
        )
    return about.channels


def _testing(division: Array | None, windows: int, place: Path) -> Array:
    """Which windows are for testing: (n,) bool; none where they are not divided."""
    import numpy as np

    if division is None:
        return np.zeros(windows, bool)
    if division.shape != (windows,):
        raise EpochalError(
            f"{place}: split has the shape {division.shape}, but X has {windows:,} windows.", hint=FORM
        )
    by_name = division.dtype.kind == "U"
    train, test = ("train", "test") if by_name else (0, 1)
    if (not by_name and division.dtype.kind not in "iub") or not np.isin(division, [train, test]).all():
        values = ", ".join(repr(value) for value in np.unique(division).tolist()[:5])
        raise EpochalError(
            f"{place}: split holds {values}.", hint='Allowed are "train" and "test", or 0 and 1 (1 tests).'
        )
    testing: Array = division == test
    if testing.all():
        raise EpochalError(f"{place}: split leaves no window to train on.", hint='0 or "train" trains.')
    return testing


def _joined(x: Array, activity: Array, subject: Array, chosen: Array) -> dict[str, Array]:
    """The four columns of the chosen windows, one after another."""
    import numpy as np

    rows = np.flatnonzero(chosen)
    channels, length = x.shape[1:]
    return recordings.columns(
        x[rows].transpose(0, 2, 1).reshape(len(rows) * length, channels),
        np.repeat(activity[rows], length),
        np.repeat(subject[rows], length),
        np.repeat(rows, length),
    )


ARRAYS_FOLDER = ArraysFolder(
    name="arrays-folder",
    what="windows of your own in a folder of arrays (--data.dir): X, y and subject, with about.json",
    kind=recordings.KIND,
    classes=(),
    licence="that of your recordings",
    items=(0, 0),
    stand_in="wrist",
    by_hand="X, y and subject in arrays.npz or as .npy files, and about.json",
)
