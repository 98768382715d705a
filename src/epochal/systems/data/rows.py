"""Which rows of a column stand for all of them."""

from __future__ import annotations

from typing import Any, TypeVar

Column = TypeVar("Column", bound=Any)


def spaced(column: Column, count: int) -> Column:
    """At most so many rows of an array or tensor, evenly spaced: the first of a sorted set are of some kinds only."""
    import numpy as np

    rows = np.unique(np.linspace(0, len(column) - 1, min(count, len(column))).round().astype(int))
    chosen: Column = column[rows]
    return chosen
