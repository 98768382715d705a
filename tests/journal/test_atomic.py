"""Atomic writing under a failing disk: the old file stays, no temporary file stays, the message helps."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from epochal.errors import EpochalError
from epochal.journal import atomic

FAILURES = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "quota is used up",
    errno.EIO: "input/output error",
    errno.EROFS: "read-only",
    errno.EACCES: "permission is denied",
}


posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no umask, no pipes as files, and links need rights"
)


def failing(number: int) -> Callable[..., object]:
    """A system call that fails as the operating system would."""

    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whatever call fails and however: one clear message, the old content, no other file."""
    path = tmp_path / "run.json"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(EpochalError) as caught:
            atomic.write_bytes(path, b"new")
    assert str(path) in caught.value.what and FAILURES[number] in caught.value.what
    assert caught.value.hint and "unchanged" in caught.value.hint
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_disk_that_fills_up_midway_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real full disk first writes a part and then refuses."""
    path = tmp_path / "run.json"
    path.write_text("old")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "write", lambda fd, data: write(fd, data[:2]) if len(data) > 2 else failing(errno.ENOSPC)()
        )
        with pytest.raises(EpochalError, match="no space"):
            atomic.write_bytes(path, b"longer")
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_flushed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rename may then be lost at a power cut: not silently."""
    path = tmp_path / "a.json"
    fsync = os.fsync

    def fail_on_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            failing(errno.EIO)()
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_on_folders)
        with pytest.raises(EpochalError, match="input/output error"):
            atomic.write_json(path, {"x": 1})


def test_file_and_folder_are_flushed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durable means: content flushed, then renamed, then the folder flushed."""
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(a: Path, b: Path) -> None:
        order.append("rename")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    atomic.write_text(tmp_path / "a.txt", "한국어")
    assert order == ["file", "rename", "folder"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "한국어"


def test_replacing_serves_writers_that_want_a_file_name(tmp_path: Path) -> None:
    """A writer that fails midway leaves the old file; one that ends replaces it."""
    path = tmp_path / "weights.safetensors"
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"one")
    with pytest.raises(RuntimeError), atomic.replacing(path) as temporary:
        temporary.write_bytes(b"tw")
        raise RuntimeError
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A run folder deleted while training gives a message, not a traceback."""
    with pytest.raises(EpochalError, match="its folder does not exist"):
        atomic.write_text(tmp_path / "gone" / "run.json", "x")


@posix
def test_a_file_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    """Labs are shared by groups: no private temporary file mode survives."""
    old = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


@pytest.mark.parametrize("number", FAILURES)
def test_a_failing_append_leaves_the_old_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A part that reached the disk before the failure is taken back."""
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "write", lambda fd, data: write(fd, data[:2]) if len(data) > 2 else failing(number)()
        )
        with pytest.raises(EpochalError, match=FAILURES[number]):
            atomic.append_bytes(path, b"more")
    assert path.read_bytes() == b"old\n"


@posix
def test_appending_and_replacing_do_not_follow_a_link(tmp_path: Path) -> None:
    """A link planted in somebody's run folder must not lead a write to a file outside."""
    outside = tmp_path / "outside"
    outside.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    for name in ("metrics.jsonl", "run.json"):
        (run / name).symlink_to(outside)
    with pytest.raises(EpochalError, match="it is a link"):
        atomic.append_bytes(run / "metrics.jsonl", b"x")
    atomic.write_text(run / "run.json", "{}")
    assert outside.read_text() == "precious"
    assert not (run / "run.json").is_symlink()


@posix
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    """Reading somebody's folder must never hang."""
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(EpochalError, match="not a plain file"):
        atomic.read_bytes(tmp_path / "run.json")


def test_leftovers_go_when_they_are_old(tmp_path: Path) -> None:
    """What a killed process left is removed; what a living one is writing stays, and so does the rest."""
    for name in (".run.json.1-aa.tmp", ".old.json.1-bb.tmp", "keep.tmp", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / ".new-x").mkdir()
    (tmp_path / ".new-x" / "run.json").touch()
    for name in (".old.json.1-bb.tmp", "keep.tmp", ".hidden", ".new-x"):
        os.utime(tmp_path / name, (0, 0))
    atomic.remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".run.json.1-aa.tmp", "keep.tmp", ".hidden"}
