"""Writing files so that a kill, a full disk or a broken one never leaves half a file.

A file is written under a temporary name in the same folder, flushed to the disk, renamed into place, and the
folder is flushed: readers see the old content or the new, nothing between. Logs are appended to by one write.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from epochal.errors import EpochalError
from epochal.journal import strict_json

# A link planted in somebody's run folder must not lead a write outside it. Windows has neither flag.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)

_LEFTOVER_PREFIXES = (".new-", ".deleted-")
_LEFTOVER_SUFFIX = ".tmp"
_LEFTOVER_AGE_S = 600.0

_SPACE = "Free some space (`epochal rm --prune` shows what runs take) and repeat. {kept}"
_PLACE = "Choose a folder that you may write, with --lab or EPOCHAL_LAB. {kept}"
_REASONS = {
    errno.ENOSPC: ("no space is left on the disk", _SPACE),
    errno.EDQUOT: ("your disk quota is used up", _SPACE),
    errno.EFBIG: ("the file would exceed the allowed size", _SPACE),
    errno.EIO: (
        "the disk reported an input/output error",
        "Check the disk or its connection and copy the lab to another one. {kept}",
    ),
    errno.EROFS: ("the file system is read-only", _PLACE),
    errno.EACCES: ("permission is denied", _PLACE),
    errno.EPERM: ("permission is denied", _PLACE),
    errno.ENOENT: ("its folder does not exist", "Was it moved or deleted meanwhile? {kept}"),
    errno.ELOOP: ("it is a link", "Epochal writes into no linked file: replace the link by a file. {kept}"),
}


def explain(
    error: OSError, path: str | os.PathLike[str], *, kept: str = "What was there before is unchanged."
) -> EpochalError:
    """The error that a user sees when `path` could not be written: what, why, and what to do.

    Args:
        error: what the operating system said.
        path: the file that was to be written (not the temporary one).
        kept: what holds for the old content.
    """
    reason, remedy = _REASONS.get(error.errno or 0, (error.strerror or str(error), "{kept}"))
    return EpochalError(f"cannot write {os.fspath(path)}: {reason}.", hint=remedy.format(kept=kept).strip())


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path to write; when the block ends well, that file durably takes the place of `path`.

    For writers that want a file name (safetensors, PNG). When the block or the disk fails, the old file stays
    and the temporary one is removed.

    Raises:
        EpochalError: the disk is full, broken, read-only …; names `path` and what to do.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        # Renaming over a device would put a plain file in its place.
        what = "a folder" if target.is_dir() else "no plain file"
        raise EpochalError(f"cannot write {target}: it is {what}.", hint="Choose another name.")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}{_LEFTOVER_SUFFIX}")
    try:
        yield temporary
        _sync_file(temporary)
        _replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise explain(error, target) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replaces the content of `path` by `data`, whole or not at all. Raises as `replacing` does."""
    with replacing(path) as temporary:
        # 0o666 and the user's umask: a lab shared by a group stays readable (tempfile would make it private).
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the content of `path` by `text` in UTF-8, whole or not at all."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, from somebody else's run.json
        data = text.encode("utf-8", "replace")
    write_bytes(path, data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces the content of `path` by `value` as indented strict JSON, whole or not at all."""
    write_bytes(path, strict_json.encode(value, indent=2) + b"\n")


def append_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Adds `data` to the end of a file by one write; when that fails, the file is cut back to what it was.

    The caller keeps other writers away (`Run` does). Not flushed to the disk: call `sync`.

    Raises:
        EpochalError: the disk is full, broken, read-only …; the old content is unchanged.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_FOLLOW | BINARY, 0o666)
    except OSError as error:
        raise explain(error, path) from error
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, data)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise explain(error, path) from error
    finally:
        os.close(descriptor)


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until the content of `path` is on the disk; does nothing when there is no such file."""
    try:
        _sync_file(Path(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain(error, path, kept="The last lines may be lost if the machine stops now.") from error


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Waits until the names in a folder are on the disk (Windows has no such call and needs none).

    Raises:
        OSError: the disk failed. A file system that cannot flush folders counts as done.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a plain file. A pipe or device under its name is refused instead of waited for.

    Raises:
        FileNotFoundError: there is none.
        EpochalError: it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise EpochalError(f"cannot read {os.fspath(path)}: it is not a plain file.")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EpochalError(f"cannot read {os.fspath(path)}: {error.strerror or error}.") from error


def remove_leftovers(folder: str | os.PathLike[str], *, age_s: float = _LEFTOVER_AGE_S) -> None:
    """Removes what killed processes left half-made in `folder`: temporary names unchanged for so long.

    Ten minutes, where others may be writing; `age_s=0` where the caller alone may write.
    """
    oldest = time.time() - age_s
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            temporary = entry.name.startswith(".") and entry.name.endswith(_LEFTOVER_SUFFIX)
            if not temporary and not entry.name.startswith(_LEFTOVER_PREFIXES):
                continue
            with suppress(OSError):
                if age_s and entry.stat(follow_symlinks=False).st_mtime > oldest:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path)
                else:
                    os.unlink(entry.path)


def remove_tree(folder: str | os.PathLike[str]) -> None:
    """Removes a folder and what it holds as far as the system lets it; links in it are not followed."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(temporary: Path, target: Path) -> None:
    # Windows refuses to replace a file while somebody reads it; readers hold ours for milliseconds.
    for _ in range(50 if os.name == "nt" else 0):
        try:
            return os.replace(temporary, target)
        except PermissionError:
            time.sleep(0.02)
    os.replace(temporary, target)
