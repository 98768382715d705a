"""Whether samples are as thick as asked: thickness from the share of white, width of strokes, errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of, rows, vector

DECILES = 10


@dataclass(frozen=True)
class Fidelity:
    """Requested against measured values.

    Attributes:
        n: samples.
        mae: mean of |measured - requested|.
        bias: mean of measured - requested.
        r2: 1 - Σ(measured - requested)² / Σ(requested - mean requested)²: the share of the request's variance
            that the measured value hits *on the identity line*; negative when worse than a constant.
        decile_request: mean requested value in each tenth of the samples, ordered by request, shape (10,).
        decile_mae, decile_bias: the same errors in each tenth, shape (10,).
    """

    n: int
    mae: float
    bias: float
    r2: float
    decile_request: Float64
    decile_mae: Float64
    decile_bias: Float64


def white_ratio(images: Any) -> Float64:
    """Mean of each image over its pixels, clipped to [0, 1] as a picture is: shape (n, ...) in, (n,) out."""
    parts = [np.clip(part, 0.0, 1.0).mean(axis=1) for part in rows(images)]
    return np.concatenate(parts) if parts else np.zeros(0)


def stroke_width(images: Any) -> Float64:
    """Width in pixels of the strokes in each image, white on black: 2·Σy / Σ|∇y|, y clipped to [0, 1].

    Area over half the outline: exact for a long stroke. Total variation is the outline's length averaged over
    all grey levels (the coarea formula), so nothing is thresholded. |∇y| is of forward differences, black all
    around. Measured on drawn digits of known width it is right within 10 % for every digit.

    Shape (n, H, W) in, (n,) out; NaN for an image without any edge.

    Raises:
        ValueError: another shape, or pixels that are neither uint8 nor floating point.
    """
    shape = numpy_of(images).shape
    if len(shape) != 3:
        raise ValueError(f"images must have shape (n, H, W), but got {shape}")
    widths = []
    for part in rows(images):
        y = np.clip(part, 0.0, 1.0).reshape(-1, *shape[1:])
        bordered = np.pad(y, ((0, 0), (1, 1), (1, 1)))
        here = bordered[:, :-1, :-1]
        steps = np.hypot(bordered[:, 1:, :-1] - here, bordered[:, :-1, 1:] - here)
        with np.errstate(invalid="ignore"):
            widths.append(2.0 * y.sum(axis=(1, 2)) / steps.sum(axis=(1, 2)))
    return np.concatenate(widths) if widths else np.zeros(0)


def per_class(ratio: Any, labels: Any, mean: Any, std: Any) -> Float64:
    """Thickness standardised within its class: t = clip(0.5·(w - mean_c) / std_c, -1, 1).

    Args:
        ratio: white ratio w of each image, shape (n,).
        labels: class c of each image, shape (n,).
        mean: mean of w over the training images of each class, shape (classes,).
        std: standard deviation of w over them, shape (classes,).

    Raises:
        ValueError: lengths differ, a label without a class, or a standard deviation that is not positive.
    """
    w, means, stds = vector(ratio, "ratio"), vector(mean, "mean"), vector(std, "std")
    c = numpy_of(labels).astype(np.int64)
    if c.shape != w.shape or means.shape != stds.shape:
        raise ValueError(
            f"ratio and labels, mean and std must agree in length, but got {w.shape} and {c.shape}, "
            f"{means.shape} and {stds.shape}"
        )
    if c.size and not 0 <= c.min() <= c.max() < len(means):
        raise ValueError(f"labels must be 0 … {len(means) - 1}, but got {c.min()} … {c.max()}")
    if not (stds > 0).all():
        raise ValueError(f"std must be positive, but its least value is {stds.min()}")
    return np.asarray(np.clip(0.5 * (w - means[c]) / stds[c], -1.0, 1.0))


def fidelity(requested: Any, measured: Any) -> Fidelity:
    """Errors of measured against requested values, each of shape (n,); also by decile of the request.

    Deciles are by rank (ten groups as equal in size as n allows, ties in the given order).

    Raises:
        ValueError: lengths differ, fewer than 10 samples, or requests that are all equal (R² has no meaning).
    """
    want, got = vector(requested, "requested"), vector(measured, "measured")
    if want.shape != got.shape:
        raise ValueError(f"requested and measured must be of one length, but got {len(want)} and {len(got)}")
    if len(want) < DECILES:
        raise ValueError(f"at least {DECILES} samples are needed, but got {len(want)}")
    variation = float(((want - want.mean()) ** 2).sum())
    if want.min() == want.max():
        raise ValueError(f"requested values must vary, but all are {want[0]}")
    error = got - want
    groups = np.array_split(np.argsort(want, kind="stable"), DECILES)
    return Fidelity(
        n=len(want),
        mae=float(np.abs(error).mean()),
        bias=float(error.mean()),
        r2=1.0 - float((error**2).sum()) / variation,
        decile_request=np.array([want[g].mean() for g in groups]),
        decile_mae=np.array([np.abs(error[g]).mean() for g in groups]),
        decile_bias=np.array([error[g].mean() for g in groups]),
    )
