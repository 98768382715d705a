"""Which rows of a column stand for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array


def spaced(column: Array, count: int) -> Array:
    """At most so many rows of a column, evenly spaced: the first rows of a sorted set are of some kinds only."""
    import numpy as np

    rows = np.unique(np.linspace(0, len(column) - 1, min(count, len(column))).round().astype(int))
    chosen: Array = column[rows]
    return chosen
