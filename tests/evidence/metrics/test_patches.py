"""Pyramids lose nothing, and patches are cut evenly."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from sklearn.datasets import load_sample_image

from epochal.evidence.metrics import patches

PHOTO = load_sample_image("china.jpg")[:, :, :]


def cropped(side: int, n: int = 6) -> np.ndarray:
    """Square pieces of a photograph, (n, side, side, 3)."""
    return np.stack([PHOTO[20 * k : 20 * k + side, 40 * k : 40 * k + side] for k in range(n)])


@pytest.mark.parametrize(("side", "sides"), [(28, [28, 14]), (32, [32, 16]), (64, [64, 32, 16]), (27, [27])])
def test_levels_add_up_to_the_image(side: int, sides: list[int]) -> None:
    """Each level enlarged and added to the next finer one gives the image back; odd sides too."""
    images = cropped(side)
    levels = patches.pyramid(images)
    assert [level.shape[1] for level in levels] == sides
    x = levels[-1]
    for level in reversed(levels[:-1]):
        x = level + patches._enlarged(x, level.shape)
    np.testing.assert_allclose(x, images / 255, atol=1e-6)


def test_smoothing_is_scipys_convolution() -> None:
    """The binomial filter along both axes, mirrored at the borders."""
    x = cropped(28).astype(np.float32)
    expected = x
    for axis in (1, 2):
        expected = convolve1d(expected, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="mirror")
    np.testing.assert_allclose(patches._smooth(x), expected, rtol=1e-5)


def test_patches_are_pieces_of_their_level() -> None:
    """Every patch of the finest level of a ramp holds neighbouring pixels; their places cover the image."""
    ramp = np.arange(196, dtype=np.uint8).reshape(1, 14, 14, 1).repeat(400, 0)
    (found,) = patches.cut(ramp, np.random.default_rng(0))
    assert found.shape == (400 * patches.PER_IMAGE, 49)
    cut = np.round(found * 255).astype(int).reshape(-1, 7, 7)
    assert (np.diff(cut, axis=2) == 1).all() and (np.diff(cut, axis=1) == 14).all()
    corners, counts = np.unique(cut[:, 0, 0], return_counts=True)
    assert len(corners) == 64 and counts.min() > 0.4 * counts.mean()


def test_batches_make_no_difference() -> None:
    """Which places are looked at depends on the image's number, not on how many came before it in its batch."""
    images = cropped(32)
    rng = np.random.default_rng(1)
    parts = [patches.cut(images[:2], rng), patches.cut(images[2:], rng)]
    for whole, split in zip(
        patches.cut(images, np.random.default_rng(1)), zip(*parts, strict=True), strict=True
    ):
        np.testing.assert_array_equal(whole, np.concatenate(split))


def test_images_smaller_than_a_patch_are_taken_whole() -> None:
    """An image of 5x5 pixels gives patches of 5x5."""
    assert patches.cut(cropped(5), np.random.default_rng(0))[0].shape == (6 * patches.PER_IMAGE, 75)
