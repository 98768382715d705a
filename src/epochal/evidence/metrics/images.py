"""Batches of images in whatever form networks and data sets have them, read as 8-bit pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import numpy_of

Images = NDArray[np.uint8]
Batches = Iterable[Any]
"""Batches of images one after the other, or one array of images."""

CHUNK = 256
"""Images that are looked at together."""
_SLACK = 1e-3  # a sigmoid in bfloat16 may end a little outside of [0, 1]


def as_uint8(images: Any) -> Images:
    """Images as 8-bit pictures (n, H, W, C), C = 1 or 3.

    Args:
        images: uint8 (n, H, W), (n, H, W, C) or (n, C, H, W); or floats of the last form in [0, 1], rounded to 255ths
            as a file of the picture would be, so that no distance sees more of a sample than of a photograph.

    Raises:
        ValueError: another shape or type, or values outside of [0, 1] (a tanh generator's images are (x + 1) / 2).
    """
    pixels = numpy_of(images)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    elif pixels.ndim == 4 and pixels.shape[1] in (1, 3):
        pixels = pixels.transpose(0, 2, 3, 1)
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise ValueError(
            f"images must be (n, H, W), (n, H, W, 3) or (n, 1 or 3, H, W), but got shape {numpy_of(images).shape}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"images must be uint8, or floating point in [0, 1], but got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ValueError("images must be finite, but some of their pixels are NaN or infinite")
    if pixels.size and not (pixels.min() >= -_SLACK and pixels.max() <= 1 + _SLACK):
        raise ValueError(
            f"images must be in [0, 1], but go from {pixels.min():g} to {pixels.max():g}; "
            "those of a tanh in [-1, 1] are (x + 1) / 2"
        )
    return np.asarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def chunks(batches: Batches) -> Iterator[Images]:
    """The pictures (<= CHUNK, H, W, C) of all batches in order; one array counts as one batch.

    Raises:
        ValueError: see `as_uint8`.
    """
    parts: Iterable[Any] = [batches] if hasattr(batches, "shape") else batches
    for batch in parts:
        for start in range(0, len(batch), CHUNK):
            yield as_uint8(batch[start : start + CHUNK])


def first_of(batches: Batches, n: int) -> Iterator[Images]:
    """The first n pictures, (<= CHUNK, H, W, C) at a time; all where there are fewer."""
    for images in chunks(batches):
        if n <= 0:
            return
        yield images[:n]
        n -= len(images)
