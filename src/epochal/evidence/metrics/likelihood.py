"""How likely a latent-variable model finds images: log p(x) by importance sampling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of


@dataclass(frozen=True)
class Likelihood:
    """An estimate over a data set, in nats.

    Attributes:
        n: images.
        samples: importance samples K of each image.
        nll: mean over images of -log 1/K Σ_k w_k. It falls with K in expectation, towards -log p(x): an upper bound.
        standard_error: of that mean, from the spread between images.
        elbo: mean over images of 1/K Σ_k log w_k, the evidence lower bound; -elbo >= nll.
    """

    n: int
    samples: int
    nll: float
    standard_error: float
    elbo: float


def measure(images: Iterable[Iterable[Any]]) -> Likelihood:
    """-log p(x) from log-weights, log w = log p(x|z) + log p(z) - log q(z|x) with z ~ q(z|x).

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016, section 3. Weights are added as their
    logarithms, in float64, chunk by chunk: only one chunk is held, whatever K is.

    Args:
        images: for each batch of images an iterable of chunks of its log-weights, each (k, n) nats; the k of a batch
            add up to K, the same for every batch.

    Raises:
        ValueError: no image or no sample, shapes that do not fit, batches of different K, a weight that is not finite.
    """
    nlls, elbos, counts = [], [], set()
    for chunks in images:
        log_sum, total, samples = _added(chunks)
        counts.add(samples)
        nlls.append(log(samples) - log_sum)
        elbos.append(total / samples)
    if not nlls or sum(map(len, nlls)) == 0:
        raise ValueError("no images to measure")
    if len(counts) > 1:
        raise ValueError(f"every image needs as many samples, but got {sorted(counts)}")
    nll, elbo = np.concatenate(nlls), np.concatenate(elbos)
    n = len(nll)
    error = float(nll.std(ddof=1)) / sqrt(n) if n > 1 else float("nan")
    return Likelihood(n, counts.pop(), float(nll.mean()), error, float(elbo.mean()))


def _added(chunks: Iterable[Any]) -> tuple[Float64, Float64, int]:
    """log Σ_k w_k and Σ_k log w_k of each image, each (n,), and K."""
    log_sum = total = np.zeros(0)
    samples = 0
    for chunk in chunks:
        weights = numpy_of(chunk).astype(np.float64)
        if weights.ndim != 2 or len(weights) == 0 or (samples and weights.shape[1:] != log_sum.shape):
            wanted = f" with n = {len(log_sum)}" if samples else ""
            raise ValueError(f"log-weights must be (k, n){wanted}, k >= 1, but got {weights.shape}")
        if not np.isfinite(weights).all():
            raise ValueError(f"log-weights must be finite, but {(~np.isfinite(weights)).sum()} are not")
        found = np.logaddexp.reduce(weights, axis=0)
        log_sum = np.logaddexp(log_sum, found) if samples else found
        total = weights.sum(axis=0) + (total if samples else 0.0)
        samples += len(weights)
    if not samples:
        raise ValueError("a batch of images without samples")
    return log_sum, total, samples
