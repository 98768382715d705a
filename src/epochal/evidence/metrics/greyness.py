"""How grey images are: 0 when every pixel is black or white, 1 when every pixel is mid-grey."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import rows


def greyness(batches: Iterable[Any]) -> float:
    """Mean over images and pixels of 4y(1 - y), y clipped to [0, 1], over batches of shape (n, ...).

    Raises:
        ValueError: no image at all.
    """
    total, pixels = 0.0, 0
    for images in batches:
        for part in rows(images):
            y = np.clip(part, 0.0, 1.0)
            total += float((4.0 * y * (1.0 - y)).sum())
            pixels += y.size
    if pixels == 0:
        raise ValueError("no images to measure")
    return total / pixels
