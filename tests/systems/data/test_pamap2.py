"""PAMAP2 in its published form, small: columns, filling, every third sample, and what is said of damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import recordings
from epochal.systems.data.pamap2 import CHANNELS, PAMAP2

IDS = [1, 2, 3, 4, 5, 6, 7, 12, 13, 16, 17, 24]
OTHER_IDS = [0, 9, 10, 11, 18, 19, 20]


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def table(number: int, rows: int = 40) -> np.ndarray:
    """A person's file: 54 columns, the heart rate in one row of eleven, a few samples lost."""
    rng = np.random.default_rng(number)
    values = np.round(rng.normal(size=(rows, 54)), 4)
    values[:, 0] = np.round(8.38 + 0.01 * np.arange(rows), 2)
    values[:, 1] = np.array(IDS + OTHER_IDS)[np.arange(rows) % 19]
    values[:, 2] = np.where(np.arange(rows) % 11 == 4, 100 + np.arange(rows), np.nan)
    values[rng.random((rows, 54)) < np.where(np.arange(54) > 2, 0.1, 0)] = np.nan
    return values


def write(folder: Path, tables: dict[int, np.ndarray]) -> Path:
    """The published folders, space-separated text."""
    (folder / "PAMAP2_Dataset" / "Protocol").mkdir(parents=True, exist_ok=True)
    for number, values in tables.items():
        lines = [" ".join(f"{value:.10g}".replace("nan", "NaN") for value in row) for row in values]
        path = folder / "PAMAP2_Dataset" / "Protocol" / f"subject{number}.dat"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return folder


@pytest.fixture
def tables() -> dict[int, np.ndarray]:
    """Nine people, 40 to 48 rows each."""
    return {number: table(number, number - 61) for number in range(101, 110)}


def test_filled_and_thinned_as_by_pandas(tmp_path: Path, tables: dict[int, np.ndarray]) -> None:
    """Every third row of what pandas interpolates over time, ends held; labels and people of the same rows."""
    found = PAMAP2.load(str(write(tmp_path / "data", tables)))
    whole = recordings.of(found, "train")
    sensors = [first + column for first in (3, 20, 37) for column in range(13)]
    for place, (number, values) in enumerate(tables.items()):
        frame = pd.DataFrame(values[:, [2, *sensors]], index=values[:, 0])
        filled = frame.interpolate("index", limit_direction="both").to_numpy()[::3]
        rows = whole.subject == number
        assert np.allclose(whole.samples[rows], filled, rtol=1e-6, atol=1e-6)
        names = [IDS.index(one) if one in IDS else -1 for one in values[::3, 1].astype(int)]
        assert whole.activity[rows].tolist() == names
        assert set(whole.recording[rows].tolist()) == {place}
    assert whole.samples.shape[1] == len(CHANNELS) == len(set(CHANNELS)) == 40
    assert whole.rate_hz == pytest.approx(100 / 3) and len(found.classes) == 12
    assert CHANNELS[0] == "heart rate" and CHANNELS[1] == "hand temperature" and CHANNELS[-1] == "ankle mag z"
    assert not len(found.splits["test"]["samples"])


def test_nothing_missing_is_left_alone(tmp_path: Path, tables: dict[int, np.ndarray]) -> None:
    """A file without a gap arrives as it is: the filling touches nothing else."""
    tables[104] = np.where(np.isnan(tables[104]), 1.5, tables[104])
    found = PAMAP2.load(str(write(tmp_path / "data", tables))).splits["train"]
    wanted = tables[104][::3][:, [2, *range(3, 16), *range(20, 33), *range(37, 50)]]
    assert np.array_equal(found["samples"][found["subject"] == 104], wanted.astype(np.float32))


def test_missing_rows_end_a_recording(tmp_path: Path, tables: dict[int, np.ndarray]) -> None:
    """Where a second is missing a new recording begins, with its first row: no window may reach over the gap."""
    tables[102][20:, 0] += 1
    found = PAMAP2.load(str(write(tmp_path / "data", tables))).splits["train"]
    rows = found["subject"] == 102
    assert found["recording"][rows].tolist() == [1] * 7 + [2] * 7
    kept = np.r_[0:20:3, 20:41:3]
    assert found["activity"][rows].tolist() == [
        IDS.index(one) if one in IDS else -1 for one in tables[102][kept, 1].astype(int)
    ]
    assert np.array_equal(np.unique(found["recording"]), np.arange(10))


def test_where_it_may_lie(tmp_path: Path, tables: dict[int, np.ndarray]) -> None:
    """In the unpacked folder, in Protocol itself, but not in Optional; a person whose file is not there is named."""
    root = write(tmp_path / "data", tables) / "PAMAP2_Dataset"
    for folder in (root.parent, root, root / "Protocol"):
        assert PAMAP2.find(str(folder)) == root / "Protocol"
    (root / "Protocol" / "subject105.dat").unlink()
    with pytest.raises(EpochalError, match=r"holds pamap2 only in part: subject105.dat missing"):
        PAMAP2.load(str(root))
    (root / "Protocol").rename(root / "Optional")
    assert PAMAP2.find(str(root)) is None and PAMAP2.find(str(root / "Optional")) is None
    with pytest.raises(EpochalError, match="cannot be downloaded") as error:
        PAMAP2.load(str(root))
    assert "subject101.dat to subject109.dat" in str(error.value) and "archive.ics.uci.edu" in str(
        error.value
    )


def test_the_second_start_reads_the_kept_copy(
    tmp_path: Path, tables: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.6 GB of text are parsed once; a file that changed is read anew."""
    folder = write(tmp_path / "data", tables)
    first = PAMAP2.load(str(folder))
    read: list[object] = []
    plain = np.loadtxt
    monkeypatch.setattr(np, "loadtxt", lambda path, **how: (read.append(path), plain(path, **how))[1])
    assert PAMAP2.load(str(folder)).sha256 == first.sha256 and not read
    tables[101][3, 5] = 7.5
    assert PAMAP2.load(str(write(folder, tables))).sha256 != first.sha256 and len(read) == 9


def test_verify_says_what_was_read(tmp_path: Path, tables: dict[int, np.ndarray]) -> None:
    """No digest is published: the one of the items is printed, and the rows are counted against the published ones."""
    folder = write(tmp_path / "data", tables)
    found = {check.what: check for check in PAMAP2.verify(str(folder)).checks}
    assert found["items"].passed and PAMAP2.load(str(folder)).sha256 in found["items"].detail
    rows = sum(map(len, tables.values()))
    assert not found["rows"].passed and found["rows"].detail == f"{rows} of 2,872,533 rows"


def _cell(row: int, column: int, text: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        cells = lines[row - 1].split()
        cells[column - 1] = text
        return [*lines[: row - 1], " ".join(cells), *lines[row:]]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [], "is empty"),
        (lambda lines: [*lines[:6], lines[6] + " 1", *lines[7:]], "line 7 has 55 columns; 54 are needed"),
        (lambda lines: [line + " 1" for line in lines], "line 1 has 55 columns; 54 are needed"),
        (lambda lines: [*lines[:-1], lines[-1][:90]], r"line 40 has \d+ columns; 54 are needed"),
        (lambda lines: ["", *lines[:6], "\0\1\2 é", *lines[6:]], "line 8 has 2 columns"),
        (_cell(5, 9, "high"), "line 5, column 9: 'high' is no number"),
        (_cell(5, 9, "0,5"), "line 5, column 9: '0,5' is no number"),
        (_cell(5, 9, "inf"), "line 5: a channel is infinite"),
        (_cell(12, 1, "NaN"), "line 12: there is no time"),
        (_cell(12, 1, "3"), "line 12: the time goes back"),
        (_cell(12, 2, "8"), "line 12: the activity is none of those"),
        (_cell(12, 2, "NaN"), "line 12: the activity is none of those"),
        (lambda lines: ["", *_cell(12, 2, "1.5")(lines)], "line 13: the activity is none of those"),
        (
            lambda lines: [" ".join([*line.split()[:2], "NaN", *line.split()[3:]]) for line in lines],
            "has no value of heart rate",
        ),
    ],
)
def test_a_damaged_file(
    tmp_path: Path, tables: dict[int, np.ndarray], change: Callable[[list[str]], list[str]], said: str
) -> None:
    """One sentence with file, line and value for each damage, and what to do."""
    tables[101] = np.where(np.isnan(tables[101]), 0.5, tables[101])
    path = write(tmp_path / "data", tables) / "PAMAP2_Dataset" / "Protocol" / "subject101.dat"
    path.write_text("\n".join(change(path.read_text("ascii").splitlines())), encoding="latin-1")
    with pytest.raises(EpochalError, match=rf"subject101\.dat.*{said}") as error:
        PAMAP2.load(str(tmp_path / "data"))
    assert error.value.hint and "\n" not in error.value.what
