"""How many latent directions survive a VAE's KL: eigenvalues of the data's covariance against the noise that β allows.

A linear VAE with a Gaussian likelihood of variance s keeps exactly the directions in which the data vary by more than
s, and collapses in all others (Lucas, Tucker, Grosse and Norouzi 2019, "Don't blame the ELBO!"). The loss
W·mean_D((x - y)²) + KL is that of a likelihood with variance s = D / (2W). A network is not linear, so this is the
scale on which to read its active units, not their exact number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of

_COLUMNS = 4096
"""Pixels whose covariance is summed at a time: as float32, 49 MB of 3,000 images."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a covariance matrix, descending, in units of a squared pixel (peak 1) summed over pixels.

    Attributes:
        n: images that it was measured on; there are at most n - 1 eigenvalues above zero.
        values: pixels an image has.
        total: of the images about their mean.
        residual: of what a linear regression on the conditions leaves; None without conditions.
    """

    n: int
    values: int
    total: Float64
    residual: Float64 | None = None


def threshold(values: int, weight: float) -> float:
    """D / (2W): the variance that a direction must exceed to be worth its KL.

    Args:
        values: D, the number of values that the squared error's mean is over.
        weight: W, the weight of that mean beside the KL.
    """
    return values / (2 * weight)


def surviving(eigenvalues: Float64, values: int, weight: float) -> int:
    """How many directions a linear VAE keeps: eigenvalues above `threshold(values, weight)`."""
    return int((eigenvalues > threshold(values, weight)).sum())


def spectrum(images: Any, conditions: Any = None) -> Spectrum:
    """Eigenvalues of the covariance of images, and of what their conditions do not explain linearly.

    By the n x n Gram matrix, whose eigenvalues above zero are the covariance's, summed over blocks of pixels: neither
    all images as floats nor a pixels x pixels matrix is ever held. Divided by the degrees of freedom, n - 1 and
    n - rank of (1, conditions).

    Args:
        images: shape (n, ...), uint8 (read as x/255) or floating point with a peak of 1; a memory map is read in
            place.
        conditions: shape (n, k), finite.

    Raises:
        ValueError: fewer than 2 images, no more than the conditions have columns, or lengths that differ.
    """
    pixels = numpy_of(images)
    n = len(pixels)
    if n < 2 or pixels.ndim < 2:
        raise ValueError(f"at least 2 images of shape (n, ...) are needed, but got shape {pixels.shape}")
    gram = _gram(pixels.reshape(n, -1))
    values = int(np.prod(pixels.shape[1:]))
    total = _eigenvalues(gram, n - 1)
    if conditions is None:
        return Spectrum(n, values, total)
    c = numpy_of(conditions).astype(np.float64)
    if c.ndim != 2 or len(c) != n or not np.isfinite(c).all():
        raise ValueError(f"conditions must be finite and of shape ({n}, k), but got shape {c.shape}")
    rank = int(np.linalg.matrix_rank(np.column_stack([np.ones(n), c])))
    if n <= rank:
        raise ValueError(f"more than {rank} images are needed for {c.shape[1]} conditions, but got {n}")
    # The images are centred already: projecting the centred conditions out is the regression with intercept.
    basis, size, _ = np.linalg.svd(c - c.mean(axis=0), full_matrices=False)
    basis = basis[:, : rank - 1] if size.size else basis
    gram -= basis @ (basis.T @ gram)
    gram -= (gram @ basis) @ basis.T
    return Spectrum(n, values, total, _eigenvalues(gram, n - rank))


def _gram(pixels: Any) -> Float64:
    """X·Xᵀ of the images' differences from their mean image: pixels (n, D) in, (n, n) out."""
    gram = np.zeros((len(pixels), len(pixels)))
    scale = np.float32(255 if pixels.dtype == np.uint8 else 1)
    for start in range(0, pixels.shape[1], _COLUMNS):
        block = pixels[:, start : start + _COLUMNS].astype(np.float32) / scale
        block -= block.mean(axis=0, dtype=np.float64).astype(np.float32)
        gram += block @ block.T
    return gram


def _eigenvalues(gram: Float64, freedom: int) -> Float64:
    from scipy.linalg import eigvalsh

    found: Float64 = eigvalsh((gram + gram.T) / 2)[::-1] / freedom
    return np.maximum(found, 0.0)
