"""GENEActiv exports: the real sample read exactly, and every way of spoiling a copy of it answered by one message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import geneactiv, geneactiv_rows
from epochal.systems.data.geneactiv import Piece

SAMPLE = "geneactiv_sample_right_wrist.csv"
ROWS = 9_900
Lines = list[bytes]


@pytest.fixture
def lines(real_data: Path) -> Lines:
    """The sample, line by line, with its line ends."""
    return (real_data / SAMPLE).read_bytes().splitlines(keepends=True)


@pytest.fixture
def spoilt(tmp_path: Path, lines: Lines) -> Callable[[Lines], Path]:
    """Writes lines into a copy of one's own."""

    def write(changed: Lines) -> Path:
        path = tmp_path / "copy.csv"
        path.write_bytes(b"".join(changed))
        return path

    return write


def refused(path: Path, *parts: str) -> EpochalError:
    """Reading fails in one message that names the file and holds these parts, and says what to do."""
    with pytest.raises(EpochalError) as caught:
        geneactiv.read(path)
    assert all(part in caught.value.what for part in (str(path), *parts)), caught.value.what
    assert caught.value.hint
    return caught.value


def edited(lines: Lines, line: int, old: bytes, new: bytes) -> Lines:
    """The lines with one of them (from 1) changed."""
    assert old in lines[line - 1]
    return [*lines[: line - 1], lines[line - 1].replace(old, new, 1), *lines[line:]]


def test_the_real_sample(real_data: Path) -> None:
    """All 9,900 samples equal NumPy's own reading; rate, subject, place and times are what the file says."""
    path = real_data / SAMPLE
    found = geneactiv.read(path)
    wanted = np.loadtxt(path, delimiter=",", skiprows=100, usecols=(1, 2, 3)).astype(np.float32)
    assert found.samples.dtype == np.float32 and np.array_equal(found.samples, wanted)
    assert found.rate_hz == 100 and found.start == datetime(2011, 10, 9, 10, 25, 2, 500_000)
    assert (found.header.subject, found.header.location) == ("Example", "right wrist")
    assert found.header.handedness == "right"
    assert found.pieces == (
        Piece(0, ROWS, found.start, found.start + timedelta(milliseconds=10 * (ROWS - 1))),
    )
    assert np.array_equal(found.recording, np.zeros(ROWS, np.int32))


@pytest.mark.parametrize("block", [1, 60, 1000])
def test_blocks_change_nothing(real_data: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Wherever the file is cut for parsing, inside a number or a line end, the samples are the same."""
    path = real_data / SAMPLE
    wanted = geneactiv.read(path).samples[:300]
    monkeypatch.setattr(geneactiv_rows, "_BLOCK", max(block, 60))
    with open(path, "rb") as file:
        file.seek(geneactiv.read_header(path).length)
        parts = []
        for _, samples in geneactiv_rows.parse(file, path, 101):
            parts.append(samples)
            if sum(map(len, parts)) >= 300:
                break
    assert np.array_equal(np.concatenate(parts)[:300], wanted)


@given(st.lists(st.decimals(-16, 16, allow_nan=False, places=None), min_size=1, max_size=9), st.booleans())
def test_numbers_are_read_as_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[object], signed: bool
) -> None:
    """Whatever way a number within range is written, few or many digits or an exponent, its value is Python's."""
    path = tmp_path_factory.mktemp("numbers") / "rows.csv"
    texts = [f"{number:+}" if signed else f"{number}" for number in numbers]
    path.write_text("".join(f"2011-10-09 10:25:02:500,{text},1,-.5,0,0,20\n" for text in texts))
    with open(path, "rb") as file:
        (_, samples), *rest = geneactiv_rows.parse(file, path, 1)
    assert not rest
    assert np.array_equal(samples[:, 0], np.array([float(text) for text in texts], np.float32))
    assert (samples[:, 1] == 1).all() and (samples[:, 2] == -0.5).all()


@given(st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)))
def test_times_are_read_as_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory, when: datetime
) -> None:
    """Milliseconds since 1970 of any date, leap days among them, are those of `datetime`."""
    path = tmp_path_factory.mktemp("times") / "rows.csv"
    ms = when.microsecond // 1000
    path.write_text(f"{when:%Y-%m-%d %H:%M:%S}:{ms:03},0,0,1,0,0,20\n")
    with open(path, "rb") as file:
        ((times, _),) = geneactiv_rows.parse(file, path, 1)
    assert times[0] == (when.replace(microsecond=ms * 1000) - datetime(1970, 1, 1)) // timedelta(
        milliseconds=1
    )


def test_harmless_differences(lines: Lines, spoilt: Callable[[Lines], Path], real_data: Path) -> None:
    """A byte order mark, Unix line ends, a degree sign in latin-1 and text in unread cells change nothing."""
    wanted = geneactiv.read(real_data / SAMPLE).samples
    changed = edited(edited(lines, 79, b"deg. C", b"\xb0C"), 200, b",0,24.5", b",pressed,")
    changed = [line.replace(b"\r\n", b"\n") for line in changed]
    assert np.array_equal(geneactiv.read(spoilt([b"\xef\xbb\xbf", *changed])).samples, wanted)


def test_no_header(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """Rows alone do not say how often was measured."""
    refused(spoilt(lines[100:]), "line 1:", "GENEActiv header", "2011-10-09 10:25:02:500")


@pytest.mark.parametrize(("left_out", "line"), [(1, 100), (60, 41)])
def test_a_header_that_is_cut(
    lines: Lines, spoilt: Callable[[Lines], Path], left_out: int, line: int
) -> None:
    """Lines missing from the header show where the first sample stands too early."""
    refused(
        spoilt(lines[: 100 - left_out] + lines[100:]), f"line {line}:", "a sample stands inside the header"
    )


def test_a_file_that_ends_in_its_header(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """A copy that broke off early is told from one without samples."""
    refused(spoilt(lines[:30]), "line 31:", "the file ends inside the header")
    refused(spoilt(lines[:100]), "a header and no sample")


@pytest.mark.parametrize("text", [b"", b"often", b"0 Hz", b"-100 Hz", b"1000000 Hz", b"85,7 Hz"])
def test_no_rate_in_the_header(lines: Lines, spoilt: Callable[[Lines], Path], text: bytes) -> None:
    """A frequency that is missing, no number or impossible is shown with its line."""
    refused(
        spoilt(edited(lines, 11, b"100 Hz", text)), "line 11:", "Measurement Frequency", repr(text.decode())
    )


def test_no_line_of_the_rate(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """A header whose line of the frequency was overwritten lacks it, too."""
    refused(spoilt(edited(lines, 11, b"Measurement Frequency,100 Hz", b"")), "line 11:", "is ''")


@pytest.mark.parametrize("rate", [50, 75, 98, 103])
def test_times_that_contradict_the_header(lines: Lines, spoilt: Callable[[Lines], Path], rate: int) -> None:
    """Rows at 100 Hz under another frequency, even a near one, are no gaps: both numbers are named."""
    refused(spoilt(edited(lines, 11, b"100 Hz", f"{rate} Hz".encode())), f"is {rate} Hz", "make 100 Hz")


def test_every_second_row_missing(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """A thinned file contradicts its header and is not called full of gaps."""
    refused(spoilt(lines[:100] + lines[100::2]), "is 100 Hz", "make 50 Hz")


def test_rates_whose_period_is_no_whole_number(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """At 85.7 Hz times are rounded to milliseconds; that is neither gap nor contradiction."""
    start = datetime(2011, 10, 9, 10, 25)
    rows = []
    for row in range(3000):
        when = start + timedelta(seconds=row / 85.7)
        rows.append(f"{when:%Y-%m-%d %H:%M:%S}:{when.microsecond // 1000:03},0,0,1,0,0,20\r\n".encode())
    found = geneactiv.read(spoilt(edited(lines, 11, b"100 Hz", b"85.7 Hz")[:100] + rows))
    assert found.rate_hz == 85.7 and len(found.samples) == 3000 and len(found.pieces) == 1


def test_a_gap(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """Missing samples are an error that names place, length and remedy; split, they part two recordings."""
    path = spoilt(lines[:600] + lines[850:5000] + lines[5001:])
    error = refused(path, "line 601:", "250 samples (2.5 s)", "10:25:07:490 and", "10:25:10:000")
    assert 'gaps="split"' in str(error)
    found = geneactiv.read(path, gaps="split")
    assert [(piece.first, piece.rows) for piece in found.pieces] == [(0, 500), (500, 4150), (4650, 4999)]
    assert found.pieces[1].begins == found.start + timedelta(seconds=7.5)
    assert np.array_equal(np.unique(found.recording, return_counts=True), [[0, 1, 2], [500, 4150, 4999]])
    with pytest.raises(UsageError, match="'fill'"):
        geneactiv.read(path, gaps="fill")  # type: ignore[arg-type]


def test_a_gap_between_blocks(
    lines: Lines, spoilt: Callable[[Lines], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap is found at the same line where parsing happens to pause."""
    monkeypatch.setattr(geneactiv_rows, "_BLOCK", 700)
    refused(spoilt(lines[:600] + lines[610:1000]), "line 601:", "10 samples (0.1 s)")


@pytest.mark.parametrize("gaps", ["refuse", "split"])
def test_time_that_runs_back(lines: Lines, spoilt: Callable[[Lines], Path], gaps: geneactiv.Gaps) -> None:
    """A repeated row or two files in a row have no order in time, split or not."""
    for path in (spoilt(lines[:300] + lines[299:]), spoilt(lines + lines[100:])):
        with pytest.raises(EpochalError, match=r"line (301|10001): .* follows .*every 10 ms"):
            geneactiv.read(path, gaps=gaps)


@pytest.mark.parametrize(
    "text", [b"", b"   ", b"NaN", b"nan", b"inf", b"abc", b"1_0", b"0x1", b"--1", b"1.2.3", b"-", b"."]
)
def test_what_is_no_number(lines: Lines, spoilt: Callable[[Lines], Path], text: bytes) -> None:
    """Empty cells, text, NaN and what only looks like a number are named with line, axis and cell."""
    shown = repr(text.decode()) if text.strip() else "empty"
    refused(spoilt(edited(lines, 101, b"-0.421,", text + b",")), "line 101:", f"x is {shown}")
    refused(spoilt(edited(lines, 7000, lines[6999].split(b",")[3], text)), "line 7000:", f"z is {shown}")


def test_rows_without_all_columns(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """A row that lacks a cell or is blank is named, in the middle and at the end."""
    refused(spoilt(edited(lines, 4000, b",24.2", b"")), "line 4000:", "6 cells, not 7")
    refused(spoilt([*lines[:4000], b"\r\n", *lines[4000:]]), "line 4001:", "has nothing, not 7")
    refused(spoilt([*lines, b"2011-10-09 10:26:41:500\n"]), "line 10001:", "1 cell, not 7")


def test_a_cell_moved_to_the_next_line(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """The right number of commas in all does not hide that two rows have the wrong one."""
    changed = edited(edited(lines, 200, b",24.5", b""), 201, b"2011", b"24.5,2011")
    refused(spoilt(changed), "line 200:", "6 cells, not 7")


def test_an_epoch_summary(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """An export averaged by epochs has more columns; the hint says to export raw data."""
    changed = lines[:100] + [line.rstrip() + b",0.11,0.02,0.03,0.05\r\n" for line in lines[100:]]
    assert "epochs" in str(refused(spoilt(changed), "line 101:", "11 cells, not 7").hint)


@pytest.mark.parametrize("mark", [b",", b";"])
def test_decimal_commas(lines: Lines, spoilt: Callable[[Lines], Path], mark: bytes) -> None:
    """An export of a computer that writes decimal commas is recognised, with commas or semicolons between cells."""
    changed = lines[:100] + [line.replace(b",", mark).replace(b".", b",") for line in lines[100:]]
    assert "decimal commas" in str(refused(spoilt(changed), "line 101:").hint)


@pytest.mark.parametrize("text", [b"-16.01", b"421", b"1e999"])
def test_beyond_what_is_possible(lines: Lines, spoilt: Callable[[Lines], Path], text: bytes) -> None:
    """Accelerations beyond 16 g, as of uncalibrated counts, are no measurements in g; 16 g itself is read."""
    refused(spoilt(edited(lines, 101, b"-0.421", text)), "line 101:", "x is", "beyond the 16 g")
    assert geneactiv.read(spoilt(edited(lines, 101, b"-0.421", b"-16.0"))).samples[0, 0] == -16


@pytest.mark.parametrize(
    "text",
    [
        b"2011-10-09 10:25:02.510",
        b"2011-13-09 10:25:02:510",
        b"2011-02-29 10:25:02:510",
        b"",
        b"09.10.2011 10:25",
        b"2011-10-09 24:25:02:510",
    ],
)
def test_what_is_no_time(lines: Lines, spoilt: Callable[[Lines], Path], text: bytes) -> None:
    """A time written otherwise, or that no calendar or clock has, is shown with its line."""
    refused(
        spoilt(edited(lines, 102, b"2011-10-09 10:25:02:510", text)),
        "line 102:",
        f"the time is {text.decode()!r}",
    )


def test_a_file_that_breaks_off(lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """A last line without its end may lack digits, wherever it was cut: it is not read as if it were whole."""
    for kept in (5, 30, len(lines[-1]) - 3, len(lines[-1]) - 1):
        refused(spoilt([*lines[:-1], lines[-1][:kept]]), "line 10000:", "ends inside this line")


def test_no_text(tmp_path: Path, lines: Lines, spoilt: Callable[[Lines], Path]) -> None:
    """An empty file, a binary file, the device's own .bin file, UTF-16 and a folder are no exports."""
    path = tmp_path / "other.csv"
    path.write_bytes(b"")
    refused(path, "is empty")
    for content in (bytes(range(256)) * 20, b"Device Identity\r\nDevice Unique Serial Code:011152\r\n" * 90):
        path.write_bytes(content)
        assert "export it as CSV" in str(refused(path, "no CSV export").hint)
    refused(spoilt([b"".join(lines).decode("latin-1").encode("utf-16")]), "no CSV export")
    with pytest.raises(EpochalError, match="cannot be read"):
        geneactiv.read(tmp_path)


def test_the_nearest_row_follows_the_rows_own_clock() -> None:
    """Where the rows' clock runs 0.5 % slow, a late time finds the row of that time, not of the rate."""
    start = datetime(2011, 10, 9)
    piece = Piece(0, 1001, start, start + timedelta(seconds=10.05))
    assert piece.nearest(start + timedelta(seconds=10.05), 100.0) == 1000
    assert piece.nearest(start + timedelta(seconds=5.025), 100.0) == 500
    assert piece.nearest(start - timedelta(days=1), 100.0) == 0
    assert piece.nearest(start + timedelta(days=1), 100.0) == 1001
