"""Reader of IDX files, the format of MNIST: a header of big-endian integers, then the bytes of one array.

The header is 0, 0, the element type (8: unsigned byte), the number of dimensions, then each dimension as a
32-bit integer (LeCun, Cortes, Burges: "The MNIST database of handwritten digits").
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def header(shape: tuple[int, ...]) -> bytes:
    """The IDX header of an array of unsigned bytes of this shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def read(path: Path, *, item_shape: tuple[int, ...], hint: str) -> Array:
    """Reads an IDX file of unsigned bytes, gzipped or not (told by its content, not its name).

    Args:
        path: the file.
        item_shape: shape of one item: (28, 28) for images, () for labels.
        hint: what to do about a bad file, for the error message.

    Returns:
        uint8 array of shape (items, *item_shape).

    Raises:
        EpochalError: the file cannot be read, is no IDX file of such items, or is longer or shorter than its
            header says.
    """
    import numpy as np

    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not zipped:
                shape, content = _read_array(raw, path, item_shape, hint)
            else:
                with gzip.open(raw, "rb") as unzipped:
                    shape, content = _read_array(unzipped, path, item_shape, hint)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        raise EpochalError(f"{path} cannot be read: {error}.", hint=hint) from error
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_array(
    file: BinaryIO, path: Path, item_shape: tuple[int, ...], hint: str
) -> tuple[tuple[int, ...], bytearray]:
    dimensions = 1 + len(item_shape)
    expected_length = 4 + 4 * dimensions
    start = file.read(expected_length)
    if start[:3] != bytes((0, 0, UNSIGNED_BYTE)) or len(start) < 4:
        raise EpochalError(
            f"{path} is no IDX file of unsigned bytes: it begins with {start[:4].hex(' ') or 'nothing'}, "
            f"not with 00 00 08 {dimensions:02x}.",
            hint=hint,
        )
    if start[3] != dimensions:
        raise EpochalError(
            f"{path} holds an array of {start[3]} dimensions; {dimensions} are expected "
            "(images have 3, labels 1).",
            hint=hint,
        )
    if len(start) < expected_length:
        raise EpochalError(f"{path} ends inside its header.", hint=hint)
    shape = struct.unpack(f">{dimensions}I", start[4:])
    if shape[1:] != item_shape:
        raise EpochalError(f"{path} holds items of shape {shape[1:]}, not {item_shape}.", hint=hint)
    size = shape[0]
    for length in item_shape:
        size *= length
    # In pieces, for the header may announce more than there is memory; and one byte more than announced, so
    # that a longer file shows without being read to its end.
    content = bytearray()
    while piece := file.read(min(size + 1 - len(content), 1 << 24)):
        content += piece
    if len(content) != size:
        found = f"{len(content):,}" if len(content) < size else "more"
        raise EpochalError(
            f"{path} is damaged: its header announces {shape[0]:,} items ({size:,} bytes), {found} follow.",
            hint=hint,
        )
    return shape, content
