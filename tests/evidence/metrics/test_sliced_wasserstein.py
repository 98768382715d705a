"""The sliced Wasserstein distance is the mean of one-dimensional ones, as scipy computes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_digits

from epochal.evidence.metrics.sliced_wasserstein import of_patches, sliced_wasserstein

DIGITS = load_digits().data


def test_agrees_with_scipy_direction_by_direction() -> None:
    """Along the same 37 directions (more than two blocks of them), on real digits of equal numbers."""
    x, y = DIGITS[:600], DIGITS[600:1200]
    directions = np.random.default_rng(4).standard_normal((37, 64))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = np.mean([wasserstein_distance(x @ way, y @ way) for way in directions])
    assert sliced_wasserstein(x, y, projections=37, seed=4) == pytest.approx(expected, rel=1e-5)


def test_a_shift_is_seen_as_its_projection() -> None:
    """In one dimension a shift by 3 is a distance of 3, whichever way the direction points."""
    x = np.random.default_rng(0).standard_normal((500, 1))
    assert sliced_wasserstein(x, x + 3) == pytest.approx(3, rel=1e-5)


@given(st.integers(0, 1000))
def test_symmetric_and_zero_for_equal_sets(seed: int) -> None:
    """Also for a set in another order: it compares distributions."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((50, 3)), rng.standard_normal((50, 3)) + 1
    assert sliced_wasserstein(x, y) == pytest.approx(sliced_wasserstein(y, x), rel=1e-6)
    assert sliced_wasserstein(x, rng.permutation(x)) == pytest.approx(0, abs=1e-5)


def test_patches_are_standardised_by_the_real_ones() -> None:
    """Twice the contrast is a difference, and the unit is that of the real patches: scaling both changes nothing."""
    x = np.random.default_rng(0).standard_normal((2000, 27)).astype(np.float32)
    once, other_unit = of_patches([x], [2 * x], 3), of_patches([10 * x + 5], [20 * x + 5], 3)
    # W₁ of N(0, 1) and N(0, 4) along any direction is E|z| = 0.798.
    assert once == pytest.approx(798, rel=0.03)
    assert other_unit == pytest.approx(once, rel=1e-3)


def test_refuses_other_shapes() -> None:
    """The message names both."""
    with pytest.raises(ValueError, match=r"\(9, 2\) and \(9, 3\)"):
        sliced_wasserstein(np.ones((9, 2)), np.ones((9, 3)))
