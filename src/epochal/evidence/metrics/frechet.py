"""Fréchet distance between the Gaussians of two sets of features (Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, finite, numpy_of


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of n features, which batches are merged into one by one.

    Attributes:
        n: features.
        mean: (d,).
        scatter: Σ (f - mean)(f - mean)ᵀ, (d, d); the covariance is scatter / (n - 1).
    """

    n: int
    mean: Float64
    scatter: Float64

    @classmethod
    def of(cls, features: Any) -> Gaussian:
        """Of features (n, d), n >= 1."""
        f = numpy_of(features).astype(np.float64)
        if f.ndim != 2 or not len(f):
            raise ValueError(f"features must be (n, d) with n >= 1, but got shape {f.shape}")
        finite(f)
        mean = f.mean(axis=0)
        centred = f - mean
        return cls(len(f), mean, centred.T @ centred)

    def merged(self, other: Gaussian) -> Gaussian:
        """Of both sets together, exactly (Chan, Golub and LeVeque 1979)."""
        n, shift = self.n + other.n, other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(shift, shift) * (self.n * other.n / n)
        return Gaussian(n, self.mean + shift * (other.n / n), scatter)

    @property
    def covariance(self) -> Float64:
        """Of the features, (d, d), divided by n - 1."""
        if self.n < 2:
            raise ValueError(f"a covariance takes at least 2 features, but got {self.n}")
        return self.scatter / (self.n - 1)

    @property
    def deficient(self) -> bool:
        """Whether there are too few features for a covariance of full rank: n <= d."""
        return self.n <= len(self.mean)


def gaussian(batches: Iterable[Any]) -> Gaussian:
    """The Gaussian of features in batches (m, d), of which it holds one at a time.

    Raises:
        ValueError: no features at all, or batches of different d.
    """
    found: Gaussian | None = None
    for batch in batches:
        if len(batch):
            one = Gaussian.of(batch)
            found = one if found is None else found.merged(one)
    if found is None:
        raise ValueError("no features to fit a Gaussian to")
    return found


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½), the squared 2-Wasserstein distance of two Gaussians.

    tr (C_a C_b)^½ is the sum of the singular values of C_a^½ C_b^½ (Dowson and Landau 1982). Each root comes from
    the eigenvalues of a symmetric matrix, so that covariances without full rank take no small number added to them,
    and lose no digits. With n <= d the distance is defined but dominated by the few features: it falls with n
    whatever the images are, so that only distances of equal n compare.

    Raises:
        ValueError: features of different dimensions, or fewer than two of them.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features differ in dimensions: {len(a.mean)} and {len(b.mean)}")
    c_a, c_b = a.covariance, b.covariance
    overlap = np.linalg.svd(_root(c_a).T @ _root(c_b), compute_uv=False).sum()
    shift = a.mean - b.mean
    return max(0.0, float(shift @ shift + np.trace(c_a) + np.trace(c_b) - 2 * overlap))


def _root(covariance: Float64) -> Float64:
    """R with R Rᵀ = covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0)))
