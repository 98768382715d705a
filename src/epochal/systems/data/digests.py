"""How items are recognised, whatever file they came in: SHA-256 digests of columns and of whole data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import idx

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits


def column_digest(array: Array) -> str:
    """SHA-256 of an array; that of the canonical IDX file for unsigned bytes."""
    digest = hashlib.sha256(idx.header(array.shape) if array.dtype == "uint8" else b"")
    digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
    return digest.hexdigest()


def items_digest(columns: Mapping[str, str]) -> str:
    """SHA-256 over a whole data set, from the digests of its columns by name ("train/images")."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(columns.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def splits_digest(splits: Splits) -> str:
    """SHA-256 over all columns of all splits."""
    return items_digest(
        {
            f"{split}/{column}": column_digest(array)
            for split, columns in splits.items()
            for column, array in columns.items()
        }
    )


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file.

    Raises:
        EpochalError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise EpochalError(f"{path} cannot be read: {error}.") from error


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in the order given.

    Raises:
        EpochalError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(map(file_digest, paths))).hexdigest()
