"""How faithfully images are rebuilt: squared error and peak signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of, rows


@dataclass(frozen=True)
class Reconstruction:
    """Errors of rebuilt images, pixels in [0, 1].

    Attributes:
        n: images.
        squared_error: mean over images of the *sum* over pixels of (x - y)², as a VAE's loss counts it.
        mse: mean over images and pixels of (x - y)².
        psnr: dB; mean over images of 10·log10(1 / image's mse).
    """

    n: int
    squared_error: float
    mse: float
    psnr: float


def squared_errors(images: Any, rebuilt: Any) -> Float64:
    """Sum over pixels of (x - y)², one per image: shape (n, ...) twice in, (n,) out.

    Raises:
        ValueError: the shapes differ.
    """
    x, y = numpy_of(images), numpy_of(rebuilt)
    if x.shape != y.shape:
        raise ValueError(f"images and rebuilt must have one shape, but got {x.shape} and {y.shape}")
    parts = [((a - b) ** 2).sum(axis=1) for a, b in zip(rows(x), rows(y), strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0)


def psnr(mse: Any) -> Float64:
    """Peak signal-to-noise ratio in dB, 10·log10(peak² / mse) with peak 1, of mean squared errors per pixel.

    An exact copy (mse 0) has infinitely many dB. Any shape in, the same out.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(np.asarray(mse, dtype=np.float64)))


def measure(pairs: Iterable[tuple[Any, Any]]) -> Reconstruction:
    """Errors over batches of (images, rebuilt images), each of shape (n, ...).

    Raises:
        ValueError: shapes differ within a pair, or there is no image at all.
    """
    n, summed, mean, decibels = 0, 0.0, 0.0, 0.0
    for images, rebuilt in pairs:
        errors = squared_errors(images, rebuilt)
        per_pixel = errors / np.prod(np.shape(images)[1:])
        n += len(errors)
        summed += float(errors.sum())
        mean += float(per_pixel.sum())
        decibels += float(psnr(per_pixel).sum())
    if n == 0:
        raise ValueError("no images to compare")
    return Reconstruction(n=n, squared_error=summed / n, mse=mean / n, psnr=decibels / n)
