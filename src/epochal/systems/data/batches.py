"""The published form of CIFAR-10: six Python pickles in a folder or a .tar.gz, read without executing anything.

Nothing is unpacked onto the disk: the archive is read member by member, and each pickle as `plain_pickle` reads
them.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import plain_pickle

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
# The published pickles have 31 million bytes each; what has more is no CIFAR-10, and might not fit into memory.
LARGEST = 1 << 25


def read_file(path: Path, *, hint: str) -> tuple[Array, Array]:
    """Reads one pickle: images (n, 32, 32, 3) uint8 and labels (n,).

    Raises:
        EpochalError: it cannot be read, is damaged, or is more than plain data.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise EpochalError(f"{path} cannot be read: {error}.", hint=hint) from error
    return _columns(content, str(path), hint)


def read_archive(path: Path, parts: tuple[str, ...], *, hint: str) -> dict[str, tuple[Array, Array]]:
    """Reads all pickles of the archive by name, as `read_file` gives them.

    Raises:
        EpochalError: it is damaged, lacks a part, or has a member that leaves its folder or is no plain file.
    """
    found = {}
    for member, content in _members(path, {f"{FOLDER}/{part}": part for part in parts}, hint):
        found[member] = _columns(content, f"{path}: {FOLDER}/{member}", hint)
    if missing := [part for part in parts if part not in found]:
        raise EpochalError(f"{path} lacks {', '.join(missing)} in its folder {FOLDER}.", hint=hint)
    return found


def _members(path: Path, wanted: dict[str, str], hint: str) -> Iterator[tuple[str, bytes]]:
    """The wanted members, in the order of the archive. Every member is looked at, wanted or not."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or "\\" in member.name:
                    raise EpochalError(
                        f"{path} is refused: its member {member.name!r} leads out of the archive's folder.",
                        hint=hint,
                    )
                if not (member.isreg() or member.isdir()):
                    raise EpochalError(
                        f"{path} is refused: its member {member.name!r} is a link or a device.", hint=hint
                    )
                file = archive.extractfile(member) if str(name) in wanted else None
                if file is not None:
                    content = file.read(LARGEST + 1)
                    if len(content) < min(member.size, LARGEST):
                        raise EOFError(f"{member.name} ends early")
                    yield wanted[str(name)], content
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise EpochalError(f"{path} is damaged: {error}.", hint=hint) from error


def _columns(pickled: bytes, what: str, hint: str) -> tuple[Array, Array]:
    import numpy as np

    if len(pickled) > LARGEST:
        raise EpochalError(f"{what} is not one of CIFAR-10: it has over {LARGEST:,} bytes.", hint=hint)
    try:
        content = plain_pickle.read(pickled)
    except plain_pickle.NotPlain as error:
        raise EpochalError(
            f"{what} is refused: {error}. Only dictionaries, lists, text and arrays of unsigned bytes are "
            "read, and nothing in it was executed.",
            hint=hint,
        ) from error
    found = content if isinstance(content, dict) else {}
    images, labels = found.get("data"), found.get("labels")
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != 3 * 32 * 32:
        shape = f"of shape {images.shape}" if isinstance(images, np.ndarray) else "missing or no array"
        raise EpochalError(f"{what}: `data` is {shape}; (n, 3072) is expected.", hint=hint)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise EpochalError(f"{what}: `labels` is missing or no list of whole numbers.", hint=hint)
    # A row holds the red, the green and the blue plane.
    planes = images.reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(labels, np.int64)
