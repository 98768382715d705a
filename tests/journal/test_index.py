"""The index is only a cache: whatever happens to it, the listing tells what the folders hold."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from epochal.journal import Lab, index, runfile


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab of five runs, indexed."""
    lab = Lab(tmp_path / "lab")
    for seed in range(5):
        lab.create_run(recipe="r", version="v", seed=seed, final={"loss": 1.0 / (seed + 1)})
    lab.index()
    return lab


def remove(path: Path) -> None:
    """As the architecture allows."""
    path.unlink()


def cut(path: Path) -> None:
    """A copy that stopped."""
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    """A broken disk."""
    data = bytearray(path.read_bytes())
    data[100::7] = b"\xa5" * len(data[100::7])
    path.write_bytes(data)


def change_a_text(path: Path) -> None:
    """One letter fell over: SQLite does not notice."""
    data = path.read_bytes()
    changed = data.replace(b'"recipe": "r"', b'"recipe": "s"').replace(b"draft", b"dratf")
    assert changed != data
    path.write_bytes(changed)


def replace_by_text(path: Path) -> None:
    """Another file under its name."""
    path.write_text("not a database")


def replace_by_other_database(path: Path) -> None:
    """Another program's database, or another layout."""
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE runs (x)")
    database.close()


def replace_by_folder(path: Path) -> None:
    """Cannot even be replaced."""
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    """A disk that was full."""
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil",
    [
        remove,
        cut,
        scramble,
        change_a_text,
        replace_by_text,
        replace_by_other_database,
        replace_by_folder,
        empty,
    ],
)
def test_a_spoilt_index_changes_nothing(lab: Lab, spoil: Callable[[Path], None]) -> None:
    """The same rows come out, and the file is whole again unless something blocks its name."""
    before = lab.summaries()
    spoil(lab.path / index.NAME)
    assert lab.summaries() == before
    if spoil is not replace_by_folder:
        with sqlite3.connect(lab.path / index.NAME) as database:
            assert database.execute("SELECT count(*) FROM runs").fetchone() == (5,)
        database.close()


def test_a_change_shows_at_once(lab: Lab) -> None:
    """Updates within one tick of the file system's clock, new runs and deletions are all seen."""
    run = lab.runs()[0]
    for value in range(10, 40):
        run.update(epochs_done=value)
        assert lab.summaries()[0]["epochs_done"] == value
    run.delete()
    assert len(lab.summaries()) == 4
    newest = lab.create_run(recipe="r", version="w")
    assert lab.summaries()[0]["run"] == newest.id


def test_nothing_is_read_or_written_when_nothing_changed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a large lab costs a look at each folder only."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("read or written without need")

    monkeypatch.setattr(runfile, "read", forbidden)
    monkeypatch.setattr(index, "_save", forbidden)
    assert len(lab.summaries()) == 5 and lab.runs()[0].meta["final"] == {"loss": 0.2}


def test_a_lab_that_cannot_be_written_is_listed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's lab, mounted read-only: all rows, no error, no index file."""
    (lab.path / index.NAME).unlink()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "replace", fail)
    assert len(lab.runs()) == 5
    assert not (lab.path / index.NAME).exists() and not list(lab.path.glob(".index*"))


def test_rows_hold_what_tables_need(lab: Lab) -> None:
    """Keys are stable: scripts read them."""
    row = lab.summaries()[0]
    run = lab.runs()[0]
    assert list(row) == [
        *("run", "folder", "recipe", "version", "name", "seed", "members", "status", "created", "parent"),
        *("epochs_done", "final", "evaluation", "size_bytes"),
    ]
    assert row["run"] == run.id and row["final"] == {"loss": 0.2} and row["size_bytes"] == run.size_bytes()


def test_a_broken_run_is_remembered_and_mended(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message comes from the index; once its run.json is put back, it is listed again."""
    run = lab.runs()[0]
    good = (run.path / "run.json").read_bytes()
    (run.path / "run.json").write_text("{")
    assert list(lab.broken()) == [run.path] and len(lab.runs()) == 4
    with monkeypatch.context() as patch:
        patch.setattr(runfile, "read", lambda _: pytest.fail("read again without need"))
        assert "is not JSON" in lab.broken()[run.path]
    (run.path / "run.json").write_bytes(good)
    assert lab.broken() == {} and len(lab.runs()) == 5
