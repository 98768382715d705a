"""Kernel distance of two sets of features (KID, Bińkowski et al. 2018), with its standard error."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, finite, numpy_of

BLOCK = 500
"""Rows of the kernel matrix at a time."""


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy, free of bias: below 0 it means "no difference seen".

    Attributes:
        value: the estimate.
        se: its standard error over draws of both sets of images.
    """

    value: float
    se: float


def kernel_distance(x: Any, y: Any) -> KernelDistance:
    """KID: the unbiased MMD² of features x (m, d) and y (n, d) under k(u, v) = (u·v/d + 1)³ (Bińkowski et al. 2018).

        MMD² = Σ_{i≠j} k(x_i, x_j) / (m (m - 1)) + Σ_{i≠j} k(y_i, y_j) / (n (n - 1)) - 2 Σ_ij k(x_i, y_j) / (m n)

    over all pairs, not over subsets. The standard error is the closed form for this U-statistic: by Hoeffding's
    decomposition Var = 4 ζ_x/m + 4 ζ_y/n + 2 ζ_xx/(m (m - 1)) + 2 ζ_yy/(n (n - 1)) + 4 ζ_xy/(m n), where ζ_x is the
    variance of h(x) = E k(x, x') - E k(x, y), and ζ_xx the mean square of the kernel centred in both arguments;
    likewise for the others. It holds for equal sets, where only the last three terms are left, as for unequal ones.

    Raises:
        ValueError: fewer than four features, or different dimensions.
    """
    u, v = numpy_of(x).astype(np.float64), numpy_of(y).astype(np.float64)
    if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[1] or min(len(u), len(v)) < 4:
        raise ValueError(f"features must be (m, d) and (n, d), m, n >= 4, but got {u.shape} and {v.shape}")
    finite(u, v)
    m, n = len(u), len(v)
    xx, yy, xy = _Pairs.within(u), _Pairs.within(v), _Pairs.between(u, v)
    h_x, h_y = xx.rows - xy.rows, yy.rows - xy.columns
    # The variance of h as estimated holds a share of the other terms, which is taken off again.
    second = 2 * xx.centred / (m * (m - 1)) + 2 * yy.centred / (n * (n - 1)) + 4 * xy.centred / (m * n)
    variance = max(4 * h_x.var(ddof=1) / m + 4 * h_y.var(ddof=1) / n - second, second, 0.0)
    return KernelDistance(float(xx.rows.mean() + yy.rows.mean() - 2 * xy.rows.mean()), sqrt(variance))


@dataclass(frozen=True)
class _Pairs:
    """A kernel matrix in sums: means of its rows and columns, and the mean square after centring both ways."""

    rows: Float64
    columns: Float64
    centred: float

    @classmethod
    def between(cls, u: Float64, v: Float64) -> _Pairs:
        """Of all pairs of u and v."""
        rows, columns, squares = np.zeros(len(u)), np.zeros(len(v)), 0.0
        for start in range(0, len(u), BLOCK):
            k = _kernel(u[start : start + BLOCK], v)
            rows[start : start + BLOCK] = k.sum(axis=1)
            columns += k.sum(axis=0)
            squares += float(np.vdot(k, k))
        m, n = len(u), len(v)
        return cls._of(rows / n, columns / m, squares / (m * n))

    @classmethod
    def within(cls, u: Float64) -> _Pairs:
        """Of all pairs of u, but for those of an item with itself; each pair is computed once."""
        n = len(u)
        rows, squares = np.zeros(n), 0.0
        for start in range(0, n, BLOCK):
            end = min(start + BLOCK, n)
            k = _kernel(u[start:end], u[start:])
            inner = k[:, : end - start]
            np.fill_diagonal(inner, 0)
            rows[start:end] += k.sum(axis=1)
            rows[end:] += k[:, end - start :].sum(axis=0)
            squares += 2 * float(np.vdot(k, k)) - float((inner * inner).sum())
        return cls._of(rows / (n - 1), rows / (n - 1), squares / (n * (n - 1)))

    @classmethod
    def _of(cls, rows: Float64, columns: Float64, square: float) -> _Pairs:
        mean = rows.mean()
        centred = square - np.square(rows).mean() - np.square(columns).mean() + mean**2
        return cls(rows, columns, max(0.0, float(centred)))


def _kernel(u: Float64, v: Float64) -> Float64:
    k = u @ v.T
    k /= u.shape[1]
    k += 1
    cube = k * k
    cube *= k
    return cube
