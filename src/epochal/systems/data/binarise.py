"""Static binarisation: every pixel of an image is drawn once as black or white, always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

SEED = 2008
"""Of the fixed draw; the year in which Salakhutdinov and Murray measured likelihoods on digits drawn this way."""

_AT_ONCE = 1000  # images whose random numbers are held at a time


def binarised(images: Array, split: str) -> Array:
    """Each pixel 255 with probability pixel / 255, else 0: uint8 of any shape (n, …) in, the same out.

    Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008. The draw depends on nothing
    but the split's name and an image's place in it: the first images of a split come out the same however many
    there are.

    Args:
        images: in stored order, from the first of the split on.
        split: "train", "validation" or "test": each has random numbers of its own.
    """
    import numpy as np

    rng = np.random.default_rng([SEED, *split.encode()])
    parts = [
        rng.random(part.shape) < part / 255
        for part in (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
    ]
    return np.concatenate(parts).astype(np.uint8) * np.uint8(255) if parts else images
