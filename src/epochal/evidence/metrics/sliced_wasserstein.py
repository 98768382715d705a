"""Sliced Wasserstein distance of two sets of vectors (Rabin et al. 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import numpy_of

PROJECTIONS = 128
_AT_ONCE = 16  # projections: 2 MB of 32,768 vectors


def sliced_wasserstein(x: Any, y: Any, *, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Mean over random directions θ of W₁(θ·x, θ·y); of as many vectors of each as the smaller set has.

        W₁ of two sets of n numbers = mean over ranks of |sorted(a)_i - sorted(b)_i|

    Args:
        x: (m, d).
        y: (n, d).
        projections: directions, drawn evenly from the unit sphere.
        seed: of the directions. Distances compare when they have the same ones.

    Raises:
        ValueError: vectors of different size, or none.
    """
    u, v = numpy_of(x).astype(np.float32), numpy_of(y).astype(np.float32)
    if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[1] or not min(len(u), len(v)):
        raise ValueError(f"vectors must be (m, d) and (n, d), but got shapes {u.shape} and {v.shape}")
    n = min(len(u), len(v))
    directions = np.random.default_rng(seed).standard_normal((projections, u.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, projections, _AT_ONCE):
        some = directions[start : start + _AT_ONCE].astype(np.float32)
        a, b = np.sort(some @ u[:n].T, axis=1), np.sort(some @ v[:n].T, axis=1)
        total += float(np.abs(a - b).mean(axis=1, dtype=np.float64).sum())
    return total / projections


def of_patches(real: Sequence[Any], generated: Sequence[Any], channels: int) -> float:
    """Sliced Wasserstein distance of pyramid patches (`patches.cut`), mean over levels, times 1,000.

    As Karras et al. 2018 (section 5), but both sets are standardised by the real one's mean and deviation of each
    channel: by its own, a set of blurred images would get its contrast back.

    Args:
        real: of each level patches (m, side · side · channels).
        generated: likewise.
        channels: of the images.
    """
    distances = []
    for of_real, of_generated in zip(real, generated, strict=True):
        pixels = of_real.reshape(-1, channels)
        mean = pixels.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = np.maximum(pixels.std(axis=0, dtype=np.float64), 1e-6).astype(np.float32)
        a, b = (
            ((p.reshape(-1, channels) - mean) / deviation).reshape(p.shape) for p in (of_real, of_generated)
        )
        distances.append(sliced_wasserstein(a, b))
    return 1000 * float(np.mean(distances))
