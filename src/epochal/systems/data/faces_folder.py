"""Faces from a folder of one's own: PNG or JPEG pictures and one CSV that labels them (see `faces_table`).

The pictures are square and all of one size; they are scaled to 120x120 (bicubic, averaged where they shrink). They are
decoded once: the cache keeps them under the digest of their files, mapped into memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from epochal.errors import EpochalError, UsageError
from epochal.folders import cache_folder
from epochal.systems.data import faces, faces_table, kept_array
from epochal.systems.data.dataset import Check, Dataset, Verification
from epochal.systems.data.digests import column_digest, files_digest, items_digest
from epochal.systems.data.source import Source, roots

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array
    from epochal.systems.data.faces_table import Table

Answer = TypeVar("Answer")
EDITION = 1
"""Raised whenever a change of the reading changes a pixel; part of the cached file's name."""
SMALLEST, LARGEST = 16, 4096
"""Sides that are scaled, in pixels."""
_AT_ONCE = 64  # pictures in memory while they are decoded


@dataclass(frozen=True)
class Faces:
    """A folder that was read: its table, and its pictures in the table's order of training, then of testing.

    Attributes:
        table: rows and their conditions.
        order: (n,) the row of each picture.
        images: (n, 120, 120, 3) uint8, mapped from the cache.
        sha256: over pictures, conditions and split.
    """

    table: Table
    order: Array
    images: Array
    sha256: str


def read(folder: Path) -> Faces:
    """Reads a folder of faces, from the cache where its pictures were decoded before.

    Raises:
        EpochalError: the table or a picture is not what it must be; names file and row.
    """
    import numpy as np

    table = faces_table.read(folder)
    order = np.argsort(table.test, kind="stable")
    paths = [table.paths[row] for row in order]
    digest = files_digest(paths)
    shape = (len(paths), faces.SIDE, faces.SIDE, 3)
    file = cache_folder() / f"faces-folder-{EDITION}-{digest[:16]}.npy"
    images = kept_array.kept_or_made(
        file, shape, lambda: _decoded(table, order.tolist()), f"What {folder} holds"
    )
    about = {"conditions": column_digest(table.conditions), "split": column_digest(table.test)}
    return Faces(table, order, images, items_digest({"images": digest, **about}))


def _decoded(table: Table, order: Sequence[int]) -> Iterator[Array]:
    """The pictures in that order, some at a time."""
    import numpy as np

    size = _size(table, order[0])
    _insist_on(size, table.place(order[0]), table.paths[order[0]])

    def picture(row: int) -> Array:
        return _picture(table.paths[row], table.place(row), size)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # Pillow leaves Python's lock
        for start in range(0, len(order), _AT_ONCE):
            yield np.stack(list(pool.map(picture, order[start : start + _AT_ONCE])))


def _insist_on(size: tuple[int, int], place: str, path: Path) -> None:
    wide, tall = size
    if wide != tall or not SMALLEST <= wide <= LARGEST:
        raise EpochalError(
            f"{place}: {path.name} is {wide}x{tall} pixels.",
            hint=f"Faces must be square, {SMALLEST} to {LARGEST:,} pixels a side, and all of one size: cut them so.",
        )


def _size(table: Table, row: int) -> tuple[int, int]:
    """(width, height) of a row's picture."""
    wide, tall = _opened(table.paths[row], table.place(row), lambda picture: picture.size)
    return int(wide), int(tall)


def _picture(path: Path, place: str, size: tuple[int, int]) -> Array:
    """One picture as (120, 120, 3) uint8."""
    import numpy as np
    from PIL import Image

    def pixels(picture: Image.Image) -> Array:
        if picture.size != size:
            shown, first = ("{}x{}".format(*one) for one in (picture.size, size))
            raise EpochalError(
                f"{place}: {path.name} is {shown} pixels, but the first picture is {first}.",
                hint="Faces must all be of one size: cut or scale them so.",
            )
        if picture.mode.startswith(("I", "F")):  # Pillow would cut off at 255
            raise EpochalError(
                f"{place}: {path.name} is stored as {picture.mode}, with more than 8 bits a pixel.",
                hint="Save it with 8 bits a pixel, its values scaled to 0 … 255.",
            )
        coloured = picture.convert("RGB")
        if size != (faces.SIDE, faces.SIDE):
            coloured = coloured.resize((faces.SIDE, faces.SIDE), Image.Resampling.BICUBIC)
        return np.asarray(coloured, dtype=np.uint8)

    return _opened(path, place, pixels)


def _opened(path: Path, place: str, use: Callable[[Any], Answer]) -> Answer:
    """What `use` makes of the opened picture, upright as its camera says."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > LARGEST:
                _insist_on(picture.size, place, path)
            return use(ImageOps.exif_transpose(picture))
    except EpochalError:
        raise
    except Exception as error:  # Pillow's decoders each have their own
        raise EpochalError(
            f"{place}: {path} cannot be read as a picture: {error}.",
            hint="Save it anew as PNG or JPEG, or remove the row.",
        ) from error


@dataclass(frozen=True, kw_only=True)
class FacesFolder(Source):
    """The folder that `--data.dir` names, and no other: `$EPOCHAL_DATA` and the cache are not searched."""

    def find(self, folder: str | None) -> Path | None:
        """The folder, if it holds a table."""
        if not folder:
            return None
        place = roots(folder)[0]
        return place if faces_table.tables_in(place) else None

    def load(self, folder: str | None) -> Dataset:
        """Columns `images`, `conditions`, and `predicted` (n, 5) bool: values that a network filled, no labels."""
        place = self._named(folder)
        found = read(place)
        train = int((~found.table.test).sum())
        columns = {
            "images": found.images,
            "conditions": found.table.conditions[found.order],
            "predicted": found.table.predicted[found.order],
        }
        splits = {
            "train": {name: column[:train] for name, column in columns.items()},
            "test": {name: column[train:] for name, column in columns.items()},
        }
        return Dataset(self.name, str(place), False, found.sha256, self.classes, splits)

    def fetch(self, folder: str | None) -> Path:
        """Reads and checks it: nothing can be downloaded."""
        self.load(folder)
        return self._named(folder)

    def verify(self, folder: str | None) -> Verification:
        """Reads it; what is wrong is a failed check."""
        try:
            found = self.load(folder)
            check = Check("items", True, f"SHA-256 {found.sha256}")
        except EpochalError as error:
            check = Check("items", False, error.what)
        return Verification(self.name, folder or None, (check,))

    def _named(self, folder: str | None) -> Path:
        if not folder:
            raise UsageError(
                f"{self.name} needs a folder of pictures with their table.",
                hint=f"Name it: --data.dir FOLDER. `--data.source {self.stand_in}` needs no files.",
            )
        return roots(folder)[0]


FACES_FOLDER = FacesFolder(
    name="faces-folder",
    what="faces in a folder of your own (--data.dir): square PNG or JPEG pictures and one CSV of their conditions",
    kind=faces.KIND,
    classes=faces.CONDITIONS,
    licence="that of your pictures",
    items=(0, 0),
    stand_in="drawn-faces",
    by_hand="square pictures and one CSV of their conditions",
)
