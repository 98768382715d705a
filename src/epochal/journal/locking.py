"""Locks between processes that the operating system releases when their holder ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from epochal.journal import atomic

_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Busy(Exception):
    """Somebody else holds the lock."""


@contextmanager
def hold(path: str | os.PathLike[str], *, wait: bool) -> Iterator[bool]:
    """Holds the lock file `path` (made when missing, never removed) for the length of the block.

    Args:
        path: the lock file.
        wait: whether to wait for its present holder.

    Yields:
        False on a file system without locks, where nothing is held.

    Raises:
        Busy: `wait` is false and another process (or another place of this one) holds it.
        EpochalError: the lock file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | atomic.NO_FOLLOW, 0o666)
    except OSError as error:
        raise atomic.explain(error, path) from error
    try:
        try:
            _lock(descriptor, wait)
            held = True
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                held = False
            elif error.errno in _HELD:
                raise Busy from error
            else:
                raise atomic.explain(error, path) from error
        yield held
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        while True:
            try:
                # LK_LOCK itself gives up after ten seconds.
                return msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait or error.errno not in _HELD:
                    raise

else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        # flock and not lockf: a POSIX record lock would be lost when this process closes the file elsewhere.
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
