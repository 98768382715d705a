"""How far latent codes are from a prior: the maximum mean discrepancy of two samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the kernels, as multiples of 2·D, the mean squared distance of two vectors from N(0, I)."""

_ROWS = 500  # of the matrix of distances that are held at a time


def imq(a: Any, b: Any, scales: Sequence[float] = SCALES) -> float:
    """Squared MMD of two samples, without bias, under inverse multiquadratic kernels summed over scales.

        Σ_{i≠j} k(a_i, a_j)/(N(N - 1)) + Σ_{i≠j} k(b_i, b_j)/(M(M - 1)) - 2·Σ_{i,j} k(a_i, b_j)/(N·M)
        k(a, b) = Σ_s C/(C + ‖a - b‖²), C = 2·D·s

    Gretton et al., "A Kernel Two-Sample Test", 2012, equation 3, with the kernels of Tolstikhin et al., "Wasserstein
    Auto-Encoders", 2018. 0 in expectation for samples of one distribution, and then as often below as above; the
    kernels' sum is at most the number of scales.

    Args:
        a: (N, D), N >= 2.
        b: (M, D), M >= 2.
        scales: s of the kernels.

    Raises:
        ValueError: shapes that do not fit, or too few rows.
    """
    a, b = (numpy_of(values).astype(np.float64) for values in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"two samples (N, D) and (M, D) of 2 or more are needed, but got {a.shape} and {b.shape}"
        )
    n, m = len(a), len(b)
    itself = float(len(scales))  # k(a, a)
    within_a = (_summed(a, a, scales) - n * itself) / (n * (n - 1))
    within_b = (_summed(b, b, scales) - m * itself) / (m * (m - 1))
    return within_a + within_b - 2 * _summed(a, b, scales) / (n * m)


def _summed(a: Float64, b: Float64, scales: Sequence[float]) -> float:
    """Σ_{i,j} k(a_i, b_j), distances from matrix products, some rows at a time."""
    total, same = 0.0, a is b
    lengths = (b**2).sum(1)
    for start in range(0, len(a), _ROWS):
        part = a[start : start + _ROWS]
        distances = (part**2).sum(1)[:, None] + lengths - 2 * part @ b.T
        np.maximum(distances, 0, out=distances)
        if same:  # to itself: exactly 0
            distances[np.arange(len(part)), start + np.arange(len(part))] = 0
        for scale in scales:
            c = 2 * a.shape[1] * scale
            total += float((c / (c + distances)).sum())
    return total
