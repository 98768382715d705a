"""A folder of GENEActiv exports with its table: which sample is which activity, and what is said of wrong tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import recordings
from epochal.systems.data.geneactiv_folder import GENEACTIV_FOLDER

SAMPLE = "geneactiv_sample_right_wrist.csv"
TABLE = """file,start,end,activity
b.csv,2011-10-09 10:25:12:500,2011-10-09 10:25:22:500,walking
b.csv,20,30.5,sitting
a.csv,0,99,walking
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path) -> Path:
    """The sample as a.csv of "Anna" and, without 1,000 samples after the first 6,000, as b.csv of "Example"."""
    monkeypatch.delenv("EPOCHAL_DATA")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    lines = (real_data / SAMPLE).read_bytes().splitlines(keepends=True)
    place = tmp_path / "mine"
    place.mkdir()
    (place / "a.csv").write_bytes(b"".join(lines).replace(b"Example", b"Anna"))
    (place / "b.csv").write_bytes(b"".join(lines[:6100] + lines[7100:]))
    (place / "labels.csv").write_text(TABLE)
    return place


def refused(folder: Path, table: str, *parts: str) -> None:
    """The table is refused in one message that names what is wrong and says what to do."""
    (folder / "labels.csv").write_text(table)
    with pytest.raises(EpochalError) as caught:
        GENEACTIV_FOLDER.load(str(folder))
    assert all(part in caught.value.what for part in parts), caught.value.what
    assert caught.value.hint


def test_samples_and_activities(folder: Path, real_data: Path) -> None:
    """Times and seconds mark the samples from start on and before end, others are not; a gap parts recordings."""
    data = GENEACTIV_FOLDER.load(str(folder))
    found = recordings.of(data, "train")
    wanted = np.loadtxt(real_data / SAMPLE, delimiter=",", skiprows=100, usecols=(1, 2, 3)).astype(np.float32)
    assert np.array_equal(found.samples, np.concatenate([wanted, wanted[:6000], wanted[7000:]]))
    assert found.classes == ("sitting", "walking") and found.rate_hz == 100 and found.unit == "g"
    activity = np.full(18_800, recordings.UNLABELLED)
    activity[:9900] = 1
    activity[9900 + 1000 : 9900 + 2000] = 1
    activity[9900 + 2000 : 9900 + 3050] = 0
    assert np.array_equal(found.activity, activity)
    assert data.extras["subjects"] == ("Anna", "Example")
    assert np.array_equal(found.subject, np.repeat([0, 1], [9900, 8900]))
    assert np.array_equal(found.recording, np.repeat([0, 1, 2], [9900, 6000, 2900]))
    assert len(data.splits["test"]["samples"]) == 0 and not data.drawn


def test_labels_after_a_gap_follow_the_clock(folder: Path) -> None:
    """The seconds of the table are those of the device's clock: rows after a gap are not counted from the start."""
    (folder / "labels.csv").write_text("file,start,end,activity\nb.csv,59,71,running\n")
    labelled = np.flatnonzero(GENEACTIV_FOLDER.load(str(folder)).splits["train"]["activity"] == 0)
    assert np.array_equal(labelled, np.arange(5900, 6100))


def test_the_second_reading_is_the_first(folder: Path) -> None:
    """What is kept in the cache equals what was read; another table is read anew."""
    first, second = (GENEACTIV_FOLDER.load(str(folder)) for _ in range(2))
    assert first.sha256 == second.sha256 and first.classes == second.classes
    (folder / "labels.csv").write_text(TABLE.replace("sitting", "cycling"))
    changed = GENEACTIV_FOLDER.load(str(folder))
    assert changed.classes == ("cycling", "walking") and changed.extras["subjects"] == ("Anna", "Example")
    assert GENEACTIV_FOLDER.verify(str(folder)).passed


def test_subjects_of_the_table(folder: Path) -> None:
    """A subject of the table goes before the header's; numbers follow the names' order."""
    rows = [*TABLE.splitlines()]
    table = "\n".join([rows[0] + ",subject", rows[1] + ",S2", rows[2] + ",S2", rows[3] + ",S1"])
    (folder / "labels.csv").write_text(table)
    assert GENEACTIV_FOLDER.load(str(folder)).extras["subjects"] == ("S1", "S2")
    refused(folder, table.replace("sitting,S2", "sitting,S3"), "row 3", "'S3'", "'S2'")
    path = folder / "a.csv"
    path.write_bytes(path.read_bytes().replace(b"Anna", b""))
    refused(folder, TABLE, "row 4", "no subject code")


def test_an_export_that_the_table_does_not_name_is_not_read(folder: Path) -> None:
    """A spoilt file beside the others does no harm as long as no row names it."""
    (folder / "c.csv").write_text("something else")
    assert GENEACTIV_FOLDER.load(str(folder)).extras["subjects"] == ("Anna", "Example")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.replace("a.csv", "c.csv"), ("row 4", "no export 'c.csv'")),
        (lambda t: t.replace("a.csv", "../mine/a.csv"), ("row 4", "no export '../mine/a.csv'")),
        (lambda t: t.replace("a.csv", "labels.csv"), ("row 4", "no export 'labels.csv'")),
        (lambda t: t.replace("20,30.5", "30.5,20"), ("row 3", "before or as it starts")),
        (lambda t: t.replace("20,30.5", "20,20"), ("row 3", "before or as it starts")),
        (lambda t: t.replace("20,30.5", "19.5,30.5"), ("row 3", "inside that of row 2")),
        (lambda t: t.replace("0,99,", "0,99.5,"), ("row 4", "not inside the recording")),
        (lambda t: t.replace("0,99,", "-1,99,"), ("row 4", "not inside the recording")),
        (lambda t: t.replace("2011", "2012"), ("row 2", "not inside the recording")),
        (
            lambda t: t.replace(",activity", ",label"),
            ("lacks the column activity", "file, start, end, label"),
        ),
        (lambda t: t.replace(",", ";"), ("lacks the columns file, start, end, activity",)),
        (lambda t: t.replace("30.5,sitting", "30.5"), ("row 3", "3 cells; the header has 4")),
        (lambda t: t.replace("sitting", ""), ("row 3", "activity is empty")),
        (lambda t: t.replace("20,30.5", "soon,30.5"), ("row 3", "start is 'soon'")),
        (lambda t: t.replace(":12:500", ":12:5"), ("row 2", "is no time")),
        (
            lambda t: t.replace("2011-10-09 10:25:12:500", "2011-10-09 10:25:12+01:00"),
            ("row 2", "is no time"),
        ),
        (lambda t: t.splitlines()[0], ("a header and no row",)),
        (lambda _: "", ("lacks the columns",)),
    ],
)
def test_wrong_tables(folder: Path, change: Callable[[str], str], parts: tuple[str, ...]) -> None:
    """Every mistake in the table is one message that names the row and what is wrong with it."""
    refused(folder, change(TABLE), str(folder / "labels.csv"), *parts)


def test_different_rates(folder: Path) -> None:
    """Two exports at different rates cannot be one data set: both are named with their rates."""
    path = folder / "b.csv"
    path.write_bytes(path.read_bytes().replace(b"Frequency,100 Hz", b"Frequency,50 Hz"))
    refused(folder, TABLE, "b.csv was measured at 50 Hz, but a.csv at 100 Hz")


def test_where_it_is_found(folder: Path, tmp_path: Path) -> None:
    """Directly in the folder or below it by its name; a table beside no export, or exports without one, are none."""
    assert GENEACTIV_FOLDER.find(str(folder)) == folder
    folder.rename(tmp_path / "geneactiv")
    assert GENEACTIV_FOLDER.find(str(tmp_path)) == tmp_path / "geneactiv"
    other = tmp_path / "other"
    other.mkdir()
    (other / "labels.csv").write_text("path,label\n")
    (other / "faces.csv").write_text("path,p_male\n")
    assert GENEACTIV_FOLDER.find(str(other)) is None
    with pytest.raises(EpochalError) as caught:
        GENEACTIV_FOLDER.load(str(other))
    assert "not on this machine" in caught.value.what and "labels.csv" in str(caught.value.hint)
