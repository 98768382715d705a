"""The page docs/results/segmentation.md: what benchmarks/segmentation_results.py computes beside the networks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import segmentation_results as page


def test_outlines_that_differ_cannot_all_be_met() -> None:
    """One multiple meets equal outlines exactly; of two, one twice as wide, it can only meet one: 3/4 by hand."""
    plain = np.array([100.0, 300.0])
    assert page.widened_alike(plain, 1.5 * plain) == pytest.approx(1)
    # 100 c answered for 100 and 200: from c = 1, (100 + 100) / (100 + 200), to c = 2, (100 + 200) / (200 + 200).
    assert page.widened_alike(np.array([100.0, 100.0]), np.array([100.0, 200.0])) == pytest.approx(3 / 4)


def test_a_property_is_told_from_the_picture_where_it_can_be() -> None:
    """Brightness is told from a picture's features (R² near 1); random numbers are not (R² near or below 0)."""
    rng = np.random.default_rng(0)
    brightness = rng.uniform(50, 200, 40)
    spots = [gaussian_filter(rng.random((32, 32)) > 0.97, 2.0, output=float) for _ in brightness]
    images = np.array([5 + b * s / s.max() for b, s in zip(brightness, spots, strict=True)]).astype(np.uint8)
    assert min(page.told(images, brightness)) > 0.7
    assert max(page.told(images, rng.standard_normal(40))) < 0.3


def test_the_threshold_of_a_picture() -> None:
    """Otsu's threshold lies between two greys, and parts them, however rare the bright one is."""
    image = np.full((20, 20), 10, np.uint8)
    image[:2, :3] = 200
    assert 10 <= page.otsu(image) < 200
