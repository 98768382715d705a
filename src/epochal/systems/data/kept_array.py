"""One large uint8 array that Epochal unpacked, kept in the cache and mapped into memory: only what is used is read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data.cache import locked, replacing

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array


log = logging.getLogger(__name__)


def kept_or_made(
    path: Path, shape: tuple[int, ...], parts: Callable[[], Iterable[Array]], what: str
) -> Array:
    """The array of `path`, or the one that `parts` gives, written there part by part.

    It is mapped copy-on-write: changes stay in memory. A cache that cannot be written costs a warning, and the memory
    of the whole array.

    Args:
        path: a file of Epochal's own, whose name tells its content; one that is not whole is made anew.
        shape: of the whole array.
        parts: gives it in pieces along the first axis; its errors are passed on.
        what: what is kept, for the warning.
    """
    kept = _kept(path, shape)
    with ExitStack() as stack:
        if kept is None:
            try:
                stack.enter_context(locked(path.parent))
            except EpochalError as error:
                return _unkept(shape, parts, f"{what} cannot be kept. {error.what}")
            kept = _kept(path, shape)
        if kept is None:  # of several processes, one makes it
            log.info("preparing %s, from now on kept in %s", what[0].lower() + what[1:], path)
            try:
                _write(path, shape, parts)
            except OSError as error:
                return _unkept(shape, parts, f"{what} cannot be kept in {path}: {error}.")
            kept = _kept(path, shape)
    assert kept is not None  # just written
    return kept


def _kept(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The array that lies in the file; None where there is none, or not the whole of it."""
    import numpy as np

    try:
        array: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _write(path: Path, shape: tuple[int, ...], parts: Callable[[], Iterable[Array]]) -> None:
    import numpy as np

    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for part in parts():
            file.write(np.ascontiguousarray(part, dtype=np.uint8).data)


def _unkept(shape: tuple[int, ...], parts: Callable[[], Iterable[Array]], why: str) -> Array:
    import numpy as np

    warnings.warn(why, stacklevel=3)
    array = np.empty(shape, np.uint8)
    start = 0
    for part in parts():
        array[start : start + len(part)] = part
        start += len(part)
    return array
