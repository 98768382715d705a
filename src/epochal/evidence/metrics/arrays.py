"""Reads what the measures are given (NumPy arrays, torch tensors) as float64 NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

ROWS = 1024
"""Images turned into float64 at a time: 6 MiB of 28x28 pixels."""


def numpy_of(values: Any) -> Array:
    """The values as a NumPy array; a torch tensor is detached and copied to the host first."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        narrow = values.is_floating_point() and values.element_size() < 4
        values = (values.float() if narrow else values).numpy()
    return np.asarray(values)


def rows(images: Any) -> Iterator[Float64]:
    """Images of shape (n, ...) as float64 of shape (<= ROWS, pixels), part by part; uint8 is divided by 255.

    Raises:
        ValueError: integers other than uint8 (the peak is unknown), or no leading axis of images.
    """
    pixels = numpy_of(images)
    if pixels.ndim < 2:
        raise ValueError(f"images must have shape (n, ...), but got shape {pixels.shape}")
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"images must be uint8 or floating point with a peak of 1, but got {pixels.dtype}")
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    for start in range(0, len(pixels), ROWS):
        part = pixels[start : start + ROWS]
        yield part.reshape(len(part), -1).astype(np.float64) / scale


def finite(*features: Array) -> None:
    """Refuses features that would spoil a distance without a word: a NaN lies in no ball, and so counts as far away.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    for array in features:
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        if bad:
            raise ValueError(f"features must be finite, but {bad} of {len(array)} are not")


def vector(values: Any, name: str) -> Float64:
    """Values of shape (n,) as float64.

    Raises:
        ValueError: any other shape, or a value that is not finite.
    """
    array = numpy_of(values).astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), but got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but {int((~np.isfinite(array)).sum())} values are not")
    return array
