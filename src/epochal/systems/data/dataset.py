"""What the data room hands out: data sets, and what is known of a source before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    Splits = Mapping[str, Mapping[str, Array]]


@dataclass(frozen=True)
class Dataset:
    """Items of one source, as stored (images stay uint8), split into training and test items.

    Attributes:
        name: the source's name, such as "mnist" or "glyphs", never "auto".
        origin: the file or folder that was read, or how the items were drawn; says so where only a part of
            the published items is there.
        drawn: True when Epochal drew the items itself: they stand in for no real data.
        sha256: digest over all items of both splits, before any `limit` or `hold_out`; of a source that draws only
            the images that are used (`drawn_parts`), over all other columns, and seed and edition of the drawing.
        classes: name of each label.
        splits: "train", "test" and, where items were held out, "validation", each with columns of one row an
            item. The columns depend on the source: "images" (n, 28, 28) or (n, 32, 32, 3) uint8 with "labels"
            (n,) uint8; for drawn digits also "thickness" (n,) float32, the width of the stroke in pixels.
        extras: what else one must know to read the items; of recordings the sampling rate and the unit
            (`recordings`).
    """

    name: str
    origin: str
    drawn: bool
    sha256: str
    classes: tuple[str, ...]
    splits: Splits
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceInfo:
    """One line of `epochal data list`.

    Attributes:
        name: what `--data.source` takes.
        what: what an item is.
        items: number of training and test items; none where they are the user's own.
        found: the file or folder that would be read, None when there is none yet.
        licence: under which the items may be used.
        download_bytes: what fetching it transfers; 0 for drawn items, and for those that only a person can get.
        drawn: whether Epochal draws the items itself.
    """

    name: str
    what: str
    items: tuple[int, int]
    found: str | None
    licence: str
    download_bytes: int
    drawn: bool


@dataclass(frozen=True)
class Check:
    """One thing that `verify` looked at."""

    what: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found out about a source; `origin` is None when it is not on this machine."""

    name: str
    origin: str | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)
