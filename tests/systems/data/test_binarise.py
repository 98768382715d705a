"""Static binarisation: fixed, of the right mean, never a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epochal.systems import data
from epochal.systems.data.binarise import binarised


def test_a_pixel_is_white_as_often_as_it_is_bright() -> None:
    """Of many equal pixels the share that is white equals their brightness within five standard errors, for every
    grey level: a threshold would give 0 or 1."""
    n = 2500
    levels = np.arange(256, dtype=np.uint8)
    white = binarised(np.tile(levels, (n, 1)), "train") / 255
    p = levels / 255
    assert (np.abs(white.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()
    assert (white[:, 0] == 0).all() and (white[:, 255] == 1).all(), "black stays black, white stays white"


def test_each_pixel_is_drawn_by_itself() -> None:
    """Neighbours of one grey level are uncorrelated, in an image and from image to image."""
    white = binarised(np.full((4000, 2), 128, np.uint8), "train") / 255.0
    for a, b in ((white[:, 0], white[:, 1]), (white[:-1, 0], white[1:, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4000)


def test_the_draw_is_fixed() -> None:
    """The same images give the same pixels, the first ones too when there are more of them; splits differ."""
    images = np.random.default_rng(0).integers(0, 256, (2100, 5, 5), dtype=np.uint8)
    whole = binarised(images, "train")
    assert whole.dtype == np.uint8 and whole.shape == images.shape and set(np.unique(whole)) == {0, 255}
    assert np.array_equal(whole, binarised(images, "train"))
    assert np.array_equal(whole[:1500], binarised(images[:1500], "train"))
    assert not np.array_equal(whole, binarised(images, "test"))


def test_real_digits_keep_their_brightness(real_data: Path) -> None:
    """MNIST's test images keep their mean, and so do their dark grey pixels taken alone, which a threshold at one half
    would all make black."""
    images = data.load("mnist", folder=str(real_data)).splits["test"]["images"]
    white = binarised(images, "test") / 255
    assert white.mean() == pytest.approx(images.mean() / 255, abs=5e-4)
    grey = (images > 64) & (images < 128)
    assert white[grey].mean() == pytest.approx(images[grey].mean() / 255, abs=5e-3)
