"""What a VAE's latent code carries: KL divergence from the prior, and units that are in use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of

ACTIVE_VARIANCE = 0.01
"""A unit counts as active above this variance of its posterior mean (Burda et al. 2016, section 5.2)."""


@dataclass(frozen=True)
class Latent:
    """A latent code over a data set.

    Attributes:
        n: items.
        kl: nats; mean over items of the sum over dimensions.
        kl_per_dimension: nats; mean over items, shape (d,). Sums to `kl`.
        variances: Var_x E[z_i|x], shape (d,): variance over items (divided by n) of the posterior mean.
        active_units: how many of the variances exceed 0.01.
        active_directions: how many eigenvalues of Cov_x E[z|x] (d, d) exceed 0.01. A direction that is spread over
            several units counts once here; rotating the code changes nothing.
    """

    n: int
    kl: float
    kl_per_dimension: Float64
    variances: Float64
    active_units: int
    active_directions: int


def kl_terms(mean: Any, logvar: Any) -> Float64:
    """KL(N(mean, exp(logvar)) || N(0, 1)) = -½(1 + logvar - mean² - exp(logvar)) of each item and dimension.

    Shape (n, d) twice in, (n, d) nats out, no reduction (Kingma and Welling 2014, appendix B).

    Raises:
        ValueError: the two shapes differ or are not (n, d).
    """
    mu = numpy_of(mean).astype(np.float64)
    log_variance = numpy_of(logvar).astype(np.float64)
    if mu.shape != log_variance.shape or mu.ndim != 2:
        raise ValueError(f"mean and logvar must both be (n, d), but got {mu.shape} and {log_variance.shape}")
    return np.asarray(0.5 * (mu**2 + np.exp(log_variance) - log_variance - 1.0))


def measure(codes: Iterable[tuple[Any, Any]]) -> Latent:
    """KL and active units (Burda, Grosse and Salakhutdinov 2016) over batches of (mean, logvar), each (n, d).

    Covariances are merged batch by batch (Chan, Golub and LeVeque 1979): one batch is held at a time, and a
    large common mean costs no digits.

    Raises:
        ValueError: shapes that do not fit, or no item at all.
    """
    n = 0
    kl = centre = spread = np.zeros(0)
    for mean, logvar in codes:
        terms = kl_terms(mean, logvar)
        mu = numpy_of(mean).astype(np.float64)
        m = len(mu)
        if m == 0:
            continue
        if n == 0:
            kl, centre = np.zeros(mu.shape[1]), np.zeros(mu.shape[1])
            spread = np.zeros((mu.shape[1], mu.shape[1]))
        shift = mu.mean(axis=0) - centre
        deviations = mu - mu.mean(axis=0)
        spread = spread + deviations.T @ deviations + np.outer(shift, shift) * (n * m / (n + m))
        centre = centre + shift * (m / (n + m))
        kl = kl + terms.sum(axis=0)
        n += m
    if n == 0:
        raise ValueError("no codes to measure")
    variances = np.diagonal(spread) / n
    return Latent(
        n=n,
        kl=float(kl.sum() / n),
        kl_per_dimension=kl / n,
        variances=variances,
        active_units=int((variances > ACTIVE_VARIANCE).sum()),
        active_directions=int((np.linalg.eigvalsh(spread / n) > ACTIVE_VARIANCE).sum()),
    )
