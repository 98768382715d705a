"""Sources whose items Epochal draws itself: no download, the same items on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.folders import cache_folder
from epochal.systems.data.dataset import Check, Dataset, Verification
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.kept import kept_or_made, read
from epochal.systems.data.source import Source

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits


@dataclass(frozen=True, kw_only=True)
class DrawnSource(Source):
    """A data set that is drawn when first used, then kept in the cache.

    Attributes:
        draw: draws all training and test items, always the same ones.
        seed: what `draw` begins its random streams with.
        edition: raised whenever a change of the drawing changes a pixel; part of the cached file's name.
        licence: of the drawn items.
        extras: what else one must know to read the items (`Dataset.extras`).
    """

    draw: Callable[[], Splits]
    seed: int
    edition: int
    licence: str = "CC0 1.0"
    extras: Mapping[str, Any] = field(default_factory=dict)

    def cache_file(self) -> Path:
        """Where the drawn items are kept."""
        return cache_folder() / f"{self.name}-{self.edition}.npz"

    def splits(self) -> tuple[Splits, str]:
        """The items from the cache or drawn now (some seconds), and their digest."""
        return kept_or_made(self.cache_file(), self._draw, f"The drawn {self.name}")

    def _draw(self) -> tuple[Splits, str]:
        drawn = self.draw()
        return drawn, splits_digest(drawn)

    def find(self, folder: str | None) -> Path | None:
        """The cached file, if the items were drawn before."""
        path = self.cache_file()
        return path if path.is_file() else None

    def load(self, folder: str | None) -> Dataset:
        """The items, drawn first if need be."""
        splits, digest = self.splits()
        origin = f"drawn by Epochal (edition {self.edition}, seed {self.seed})"
        return Dataset(self.name, origin, True, digest, self.classes, splits, self.extras)

    def fetch(self, folder: str | None) -> Path:
        """Draws the items if need be; the cached file."""
        self.splits()
        return self.cache_file()

    def verify(self, folder: str | None) -> Verification:
        """Reads the cached file; items that were not drawn yet are fine."""
        path = self.find(folder)
        if path is None:
            return Verification(self.name, None, (Check("drawn", True, "not yet: drawn when first used"),))
        try:
            items = Check("items", True, f"SHA-256 {read(path)[1]}")
        except EpochalError as error:
            items = Check("items", False, error.what)
        return Verification(self.name, str(path), (items,))
