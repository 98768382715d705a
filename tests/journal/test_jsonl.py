"""Logs: cut at any byte, every whole line is read and the next append is clean."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.errors import EpochalError
from epochal.journal import jsonl

# These texts stand for floats in our files (strict_json): as texts they do not come back.
texts = st.text(max_size=9).filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
records = st.lists(
    st.dictionaries(st.text(max_size=9), st.integers() | texts | st.booleans(), max_size=3),
    min_size=1,
    max_size=6,
)


def whole_lines(data: bytes) -> list[Any]:
    """An independent reader: the objects of a prefix of a valid log."""
    lines = data.split(b"\n")
    try:
        return [json.loads(line) for line in lines if line]
    except ValueError:
        return [json.loads(line) for line in lines[:-1] if line]


@settings(max_examples=200, deadline=None)
@given(records, st.data(), records)
def test_a_log_torn_at_any_byte_reads_and_heals(
    before: list[dict[str, Any]], data: st.DataObject, after: list[dict[str, Any]]
) -> None:
    """After a kill in mid-write, whole lines are read, and appending loses none and adds no garbage."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        jsonl.append(path, before)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        kept = whole_lines(content[:cut])
        assert jsonl.read(path).records == kept
        jsonl.append(path, after)
        assert jsonl.read(path) == jsonl.Log(kept + after, [], torn=False)
        assert kept == before[: len(kept)] and len(kept) >= content[:cut].count(b"\n")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=20)), records)
def test_no_content_breaks_reading(lines: list[bytes], good: list[dict[str, Any]]) -> None:
    """Whatever stands in the file: reading and appending go on, and good lines come back in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.write_bytes(b"\n".join(lines))
        jsonl.append(path, good)
        assert jsonl.read(path).records[-len(good) :] == good


def test_interior_garbage_is_numbered(tmp_path: Path) -> None:
    """Lines that are no objects are left out and told by number; a torn end is told apart from them."""
    path = tmp_path / "log"
    deep = b"[" * 100_000
    path.write_bytes(b'{"a": 1}\nrubbish\n[1]\n\n\xff{"b": 2}\n{"x": "\xff"}\n' + deep + b'\n{"a": 2}\n{"a"')
    assert jsonl.read(path) == jsonl.Log([{"a": 1}, {"a": 2}], [2, 3, 5, 6, 7], torn=True)


def test_a_torn_tail_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    """Looking for the start of the torn line goes back over as many blocks as it takes."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n{"a": "' + b"x" * 200_000)
    jsonl.append(path, [{"a": 2}])
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_zeros_at_the_end_are_cut(tmp_path: Path) -> None:
    """Some file systems leave zeros after a power cut."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n' + bytes(4096))
    jsonl.append(path, [{"a": 2}])
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_one_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees a batch whole, and a kill tears at most its end."""
    sizes: list[int] = []
    write = os.write

    def note(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", note)
    jsonl.append(tmp_path / "log", [{"step": n} for n in range(100)])
    monkeypatch.undo()
    assert sizes == [(tmp_path / "log").stat().st_size]


def test_numbers_that_are_not_finite_come_back(tmp_path: Path) -> None:
    """The last line of a diverged run holds NaN or infinity: it must read as a number."""
    path = tmp_path / "log"
    jsonl.append(path, [{"values": {"loss": math.nan, "kl": -math.inf}}])
    (record,) = jsonl.read(path).records
    assert math.isnan(record["values"]["loss"]) and record["values"]["kl"] == -math.inf
    assert b"NaN" in path.read_bytes()


def test_skipping_passes_lines_over(tmp_path: Path) -> None:
    """`skip` saves parsing; what it names is not reported either."""
    path = tmp_path / "log"
    jsonl.append(path, [{"scope": "step"}, {"scope": "epoch"}])
    assert jsonl.read(path, skip='"scope": "step"') == jsonl.Log([{"scope": "epoch"}], [], torn=False)


def test_truncating_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later lines, garbage and torn ends go at once; on a full disk nothing goes."""
    path = tmp_path / "log"
    jsonl.append(path, [{"step": n} for n in range(5)])
    with path.open("ab") as file:
        file.write(b"rubbish\n{")
    before = path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EpochalError, match="no space"):
            jsonl.truncate(path, lambda record: record["step"] <= 2)
    assert path.read_bytes() == before
    jsonl.truncate(path, lambda record: record["step"] <= 2)
    assert jsonl.read(path) == jsonl.Log([{"step": n} for n in range(3)], [], torn=False)


def test_nothing_written_yet_reads_as_empty(tmp_path: Path) -> None:
    """A draft has no metrics; that is no error, and truncating it is none either."""
    jsonl.truncate(tmp_path / "log", lambda _: True)
    jsonl.append(tmp_path / "log", [])
    assert jsonl.read(tmp_path / "log") == jsonl.Log([], [], torn=False)
    assert not (tmp_path / "log").exists()
