"""Splits that Epochal drew or unpacked itself, kept in the cache as one .npz file of plain arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.systems.data.cache import locked, replacing
from epochal.systems.data.digests import splits_digest

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits


def kept_or_made(path: Path, make: Callable[[], tuple[Splits, str]], what: str) -> tuple[Splits, str]:
    """The splits and their digest from `path`, or made now and kept there.

    A damaged file is made anew. A cache that cannot be written costs a warning now, and making the splits
    again next time.

    Args:
        path: a file of Epochal's own, in the cache.
        make: makes the splits and their digest; its errors are passed on.
        what: what is kept, for the warning.
    """
    if kept := _kept(path):
        return kept
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path.parent))
        except EpochalError as error:
            warnings.warn(f"{what} cannot be kept. {error.what}", stacklevel=2)
            return make()
        if kept := _kept(path):  # of several processes, one makes them
            return kept
        made = make()
        try:
            write(path, *made)
        except OSError as error:
            warnings.warn(f"{what} cannot be kept in {path}: {error}.", stacklevel=2)
        return made


def _kept(path: Path) -> tuple[Splits, str] | None:
    try:
        return read(path)
    except EpochalError:  # absent or damaged: it is Epochal's own file, and made anew
        return None


def read(path: Path) -> tuple[Splits, str]:
    """Reads kept splits, and their digest.

    Raises:
        EpochalError: there is no such file, or it does not hold what was written.
    """
    import numpy as np

    splits: dict[str, dict[str, Array]] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                if key != "sha256":
                    split, column = key.split("_", 1)
                    splits.setdefault(split, {})[column] = archive[key]
            recorded = str(archive["sha256"])
    except Exception as error:  # zipfile, zlib, NumPy and the system each have their own
        raise EpochalError(f"{path} cannot be read: {error}.") from error
    digest = splits_digest(splits)
    if digest != recorded:
        raise EpochalError(f"{path} has SHA-256 {digest} over its items, {recorded} was written.")
    return splits, digest


def write(path: Path, splits: Splits, digest: str) -> None:
    """Keeps splits; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np

    arrays: dict[str, Any] = {
        f"{split}_{column}": array for split, data in splits.items() for column, array in data.items()
    }
    with replacing(path) as file:
        np.savez(file, **arrays, sha256=np.asarray(digest))
