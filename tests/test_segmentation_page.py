"""The page docs/results/segmentation.md: what benchmarks/segmentation_results.py computes beside the networks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import results_page
import segmentation_results as page

from epochal.settings import to_dict
from epochal.systems.recipes import find


def test_a_network_is_told_in_words() -> None:
    """Readers of the page know no settings by their names; a switch that is off is not mentioned."""
    assert page.network({"base": 16, "root": False}) == "network: 16 channels at full size"
    assert page.network({"base": 8, "root": True}).endswith("size, reads the square root of brightness")
    for recipe in ("unet", "resnet50-unet"):
        settings = to_dict(find(recipe).settings())
        assert "{" not in page.network(settings["net"]), "every setting of the network has its words"


def test_the_head_and_a_section_have_one_blank_line_between_them() -> None:
    """A section may follow the head at once, or text."""
    one = results_page.Page("Title", "command")
    one.section("First")
    one.say("Text.")
    one.section("Second")
    assert "\n\n\n" not in "\n".join(one.lines)
    assert "Text.\n\n## Second\n" in "\n".join(one.lines)


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
