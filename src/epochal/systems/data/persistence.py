"""Sublevel-set persistence of signals in dimension 0: at which levels their valleys appear and merge.

Edelsbrunner, Letscher and Zomorodian, "Topological Persistence and Simplification", 2002. A signal is a path graph of
its samples. As the level rises, a component is born at every local minimum; where two meet at a local maximum, the
one born at the higher level dies there (the elder rule). The lowest minimum's component never dies and is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

LEAST = 0.01
"""Bars up to this lifetime are noise; in the unit of signals scaled to [-1, 1]."""


def diagrams(signals: Array, *, least: float = LEAST) -> tuple[Array, Array, Array]:
    """The bars of every signal that live longer than `least`; exact, equal values and plateaus included.

    Every round cancels all pairs of a neighbouring minimum and maximum whose step is not larger than the steps beside
    it: they are a bar, and without them the signal keeps all its other bars. A noisy signal is through in a few
    rounds. The worst case, a swing that only grows or only fades, loses two extrema a round: k of them cost k²/4.

    Args:
        signals: (n, length); whole numbers are read as float64.
        least: lifetime (death − birth, ≥ 0) above which a bar is kept.

    Returns:
        `owner` (k,) int64, the row that a bar belongs to, in ascending order, `birth` (k,) and `death` (k,) in the
        signals' own unit.

    Raises:
        EpochalError: a value is not finite.
        ValueError: the signals are not (n, length) with length ≥ 1, or `least` is negative.
    """
    import numpy as np

    if signals.ndim != 2 or not signals.shape[1] or not least >= 0:
        raise ValueError(
            f"signals (n, length) and least >= 0 are needed, but got {signals.shape} and least={least}"
        )
    if not (finite := np.isfinite(signals).all(1)).all():
        raise EpochalError(
            f"{np.sum(~finite)} of {len(signals)} signals hold values that are not finite, "
            f"the first of them is number {np.argmin(finite)} (from 0).",
            hint="Fill the gaps, or leave these windows out.",
        )
    height, place = _extrema(signals)
    found = []
    while True:
        rising = height[:-2] < height[2:]
        first = np.flatnonzero(rising[1:] & ~rising[:-1]) + 1
        first = first[height[first + 1] < np.inf]  # a wall after the last minimum that a signal has left
        if not len(first):
            break
        bars = first[height[first] + height[first + 1] > least]
        found.append((place[bars], -height[bars - bars % 2 + 1], height[bars + bars % 2]))
        kept = np.ones(len(height), bool)
        kept[first] = kept[first + 1] = False
        height, place = height[kept], place[kept]
    if not found:
        return np.empty(0, np.int64), height[:0], height[:0]
    owner, birth, death = (np.concatenate(parts) for parts in zip(*found, strict=True))
    owner //= signals.shape[1] + 1
    order = np.argsort(owner, kind="stable")
    return owner[order], birth[order], death[order]


def _extrema(signals: Array) -> tuple[Array, Array]:
    """Heights of the extrema of all signals in one row, and their places.

    Walls of infinite height stand before, between and behind the signals. So maxima (and walls) have even numbers and
    minima odd ones all along. A minimum's height has its sign turned: the step from i to i + 1 is then the sum of both
    heights, and less than the next step exactly if height[i] < height[i + 2], which no rounding touches. A plateau may
    hold a maximum and a minimum of the same height, a bar of lifetime 0.
    """
    import numpy as np

    n, length = signals.shape
    row = np.full(n * (length + 1) + 1, np.inf)
    row[:-1].reshape(n, length + 1)[:, 1:] = signals
    up = row[:-1] < row[1:]
    place = np.concatenate([[0], np.flatnonzero(up[1:] != up[:-1]) + 1, [len(row) - 1]])
    height = row[place]
    height[1::2] *= -1
    return height, place
