"""Greyness of images whose greyness is known."""

from __future__ import annotations

import numpy as np
import pytest

from epochal.evidence.metrics.greyness import greyness


def test_known_images() -> None:
    """Black and white is 0, mid-grey is 1, a quarter is 3/4: the formula's three anchors."""
    for value, expected in ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.25, 0.75)):
        assert greyness([np.full((3, 5, 5), value)]) == expected


def test_pixels_are_clipped() -> None:
    """Values past 0 or 1 (a ReLU output) count as black or white, and never make the mean negative."""
    assert greyness([np.array([[-2.0, 0.5], [0.5, 9.0]])]) == 0.5


def test_uniform_noise() -> None:
    """The expectation over uniform pixels is ∫4y(1 - y)dy = 2/3, over any batches and for bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 10, 10), dtype=np.uint8)
    assert greyness([pixels[:17], pixels[17:]]) == pytest.approx(2 / 3, abs=0.01)


def test_nothing_to_measure() -> None:
    """No image has no greyness."""
    with pytest.raises(ValueError, match="no images"):
        greyness([])
