"""Drawn sources too large to be drawn for a small use: each image can be drawn by itself, and is when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.folders import cache_folder
from epochal.systems.data.dataset import Check, Dataset, Verification
from epochal.systems.data.digests import column_digest, items_digest
from epochal.systems.data.kept_rows import KeptRows
from epochal.systems.data.source import Source

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array


@dataclass(frozen=True, kw_only=True)
class PartlyDrawnSource(Source):
    """A data set of which every image follows from its number alone; images are kept in the cache as they are drawn.

    Attributes:
        columns: all columns of a split, of so many items, but the images; quickly made.
        draw: images of a split from the first row to before the last, (rows, *shape) uint8.
        shape: of one image.
        seed: what the random streams begin with.
        edition: raised whenever a change of the drawing changes a pixel; part of the cache folder's name.
        licence: of the drawn items.
    """

    columns: Callable[[str, int], Mapping[str, Array]]
    draw: Callable[[str, int, int], Array]
    shape: tuple[int, ...]
    seed: int
    edition: int
    licence: str = "CC0 1.0"

    def cache(self) -> Path:
        """Folder where drawn images are kept."""
        return cache_folder() / f"{self.name}-{self.edition}"

    def images(self, split: str) -> KeptRows:
        """The images of a split, drawn or not."""
        items = self.items[("train", "test").index(split)]
        return KeptRows(
            self.cache() / f"{split}-images.npy",
            (items, *self.shape),
            lambda start, stop: self.draw(split, start, stop),
        )

    def find(self, folder: str | None) -> Path | None:
        """The folder of drawn images, if there are any."""
        path = self.cache()
        return path if any(self.images(split).path.is_file() for split in ("train", "test")) else None

    def load(self, folder: str | None) -> Dataset:
        """All items; what is missing is drawn first."""
        return self.load_used(folder, None, 0)

    def load_used(self, folder: str | None, limit: int | None, hold_out: int) -> Dataset:
        """All items, of which the first `limit` and the last `hold_out` training images are drawn, and all test images.

        The digest is over the other columns of all items, the seed and the edition of the drawing, which together
        say what every image is: it does not depend on how many were drawn.
        """
        train, test = self.items
        end = max(train - hold_out, 0)
        used: dict[str, tuple[range, ...]] = {
            "train": (range(end if limit is None else min(limit, end)), range(end, train)),
            "test": (range(test),),
        }
        if not end:  # which the caller refuses
            used = dict.fromkeys(used, ())
        splits = {}
        digests = {"drawing": f"{self.name}, edition {self.edition}, seed {self.seed}"}
        for (split, wanted), items in zip(used.items(), self.items, strict=True):
            columns = self.columns(split, items)
            digests |= {f"{split}/{name}": column_digest(column) for name, column in columns.items()}
            splits[split] = {"images": self.images(split).rows(wanted), **columns}
        origin = f"drawn by Epochal (edition {self.edition}, seed {self.seed})"
        return Dataset(self.name, origin, True, items_digest(digests), self.classes, splits)

    def fetch(self, folder: str | None) -> Path:
        """Draws what is missing; the folder of the drawn images."""
        self.load(folder)
        return self.cache()

    def verify(self, folder: str | None) -> Verification:
        """Reads what was drawn; images that were not drawn yet are fine."""
        if self.find(folder) is None:
            return Verification(self.name, None, (Check("drawn", True, "not yet: drawn when first used"),))
        checks = []
        for split, items in zip(("train", "test"), self.items, strict=True):
            kept = self.images(split)
            drawn = kept.drawn()
            damaged = kept.missing(drawn)
            detail = f"{kept.count(drawn):,} of {items:,} drawn"
            if damaged:
                detail += f"; {kept.count(damaged):,} are not what was written, and will be drawn anew"
            checks.append(Check(f"{split} images", not damaged, detail))
        return Verification(self.name, str(self.cache()), tuple(checks))
