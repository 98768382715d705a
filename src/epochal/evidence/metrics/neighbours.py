"""Nearest neighbours among features, pixels or whatever has rows, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import Float64, numpy_of

BLOCK = 128
"""Rows of the matrix of distances at a time: 10 MB for 10,000 columns, which caches hold in part."""
VALUES = 8_000_000
"""Numbers of the references that are looked at together: 64 MB in float64."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest references of each of n queries, nearest first.

    Attributes:
        indices: into the references, (n, k).
        distances: Euclidean, (n, k); 0 tells a copy.
    """

    indices: NDArray[np.int64]
    distances: Float64

    def merged(self, other: Neighbours, k: int) -> Neighbours:
        """The k nearest of both, for the same queries."""
        indices = np.concatenate([self.indices, other.indices], axis=1)
        distances = np.concatenate([self.distances, other.distances], axis=1)
        order = np.lexsort((indices, distances), axis=1)[:, :k]
        return Neighbours(*(np.take_along_axis(values, order, axis=1) for values in (indices, distances)))


def nearest(queries: Any, references: Any, k: int = 5) -> Neighbours:
    """The k nearest references (m, …) of queries (n, …), whose rows are flattened; fewer where m < k.

    Candidates come from matrix products, their distances are then computed from the differences: those of copies are 0.

    Raises:
        ValueError: rows of different size, or nothing to look for or among.
    """
    q, r = _rows(queries), _rows(references)
    _check(q, r)
    found: Neighbours | None = None
    step = max(1, VALUES // r.shape[1])
    for start in range(0, len(r), step):
        among = _nearest(q, r[start : start + step], k)
        among = Neighbours(among.indices + start, among.distances)
        found = among if found is None else found.merged(among, k)
    assert found is not None
    return found


def _nearest(q: NDArray[Any], r: NDArray[Any], k: int) -> Neighbours:
    k = min(k, len(r))
    wide = min(2 * k, len(r))  # rounding may exchange neighbours of almost equal distance
    indices, distances = np.empty((len(q), k), dtype=np.int64), np.empty((len(q), k))
    for part, squares in squared_distances(q, r):
        candidates = np.argpartition(squares, wide - 1, axis=1)[:, :wide]
        for i, chosen in zip(range(part.start, part.stop), candidates, strict=True):
            exact = np.sqrt(np.square(r[chosen].astype(np.float64) - q[i].astype(np.float64)).sum(axis=1))
            order = np.lexsort((chosen, exact))[:k]
            indices[i], distances[i] = chosen[order], exact[order]
    return Neighbours(indices, distances)


def squared_distances(u: Any, v: Any) -> Iterator[tuple[slice, Float64]]:
    """|u_i - v_j|², (<= BLOCK, len(v)) at a time with the rows of u that they are of.

    From |u|² + |v|² - 2 u·v after both are centred on v's mean, which keeps the digits of small distances.
    """
    centre = v.mean(axis=0, dtype=np.float64)
    v = v - centre
    lengths = np.square(v).sum(axis=1)
    for start in range(0, len(u), BLOCK):
        part = u[start : start + BLOCK] - centre
        squares = (-2 * part) @ v.T
        squares += lengths
        squares += np.square(part).sum(axis=1)[:, None]
        yield slice(start, start + len(part)), np.maximum(squares, 0, out=squares)


def squared_radii(features: Any, *ks: int) -> list[Float64]:
    """For each k the squared distance (n,) of each row from its k-th nearest other one; the farthest where n <= k."""
    radii = [np.empty(len(features)) for _ in ks]
    places = [min(k, len(features) - 1) - 1 for k in ks]
    for part, squares in squared_distances(features, features):
        squares[np.arange(part.stop - part.start), np.arange(part.start, part.stop)] = np.inf
        squares.partition(sorted(set(places)), axis=1)
        for of_k, place in zip(radii, places, strict=True):
            of_k[part] = squares[:, place]
    return radii


def _rows(values: Any) -> NDArray[Any]:
    array = numpy_of(values)
    return array.reshape(len(array), -1)


def _check(q: NDArray[Any], r: NDArray[Any]) -> None:
    if not len(q) or not len(r) or q.shape[1] != r.shape[1]:
        raise ValueError(
            f"queries and references must have rows of one size, but got shapes {q.shape} and {r.shape}"
        )
