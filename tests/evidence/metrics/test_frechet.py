"""The Fréchet distance is that of Gaussians: checked against scipy's matrix root and known formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits

from epochal.evidence.metrics.frechet import Gaussian, frechet_distance, gaussian


def drawn(seed: int, n: int = 400, d: int = 6) -> np.ndarray:
    """Correlated features around a mean of their own."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def of(features: np.ndarray) -> Gaussian:
    """Of one batch."""
    return gaussian([features])


def test_agrees_with_the_matrix_root_of_scipy() -> None:
    """The textbook formula by Schur's method, on covariances of full rank, gives the same number."""
    x, y = drawn(0), drawn(1)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(of(x), of(y)) == pytest.approx(expected, rel=1e-9)


def test_shifted_features_are_apart_by_the_square_of_the_shift() -> None:
    """Equal covariances cancel, also of rank below d: 20 features of 64 dimensions."""
    x, shift = drawn(2, n=20, d=64), np.arange(64) / 64
    assert frechet_distance(of(x), of(x + shift)) == pytest.approx(shift @ shift, rel=1e-9)


def test_scaled_features_are_apart_by_their_deviations() -> None:
    """For commuting covariances the distance is Σ (s_a - s_b)²; scaling by 3 about the mean gives 4 tr C."""
    x = drawn(3)
    centred = x - x.mean(0)
    expected = 4 * np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(of(centred), of(3 * centred)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 1000), st.integers(3, 30), st.integers(1, 12))
def test_never_negative_symmetric_and_zero_for_equal(seed: int, n: int, d: int) -> None:
    """It is a distance, whether there are fewer features than dimensions or more."""
    a, b = of(drawn(seed, n, d)), of(drawn(seed + 1, n + 2, d))
    there, back = frechet_distance(a, b), frechet_distance(b, a)
    assert there >= 0
    assert there == pytest.approx(back, rel=1e-6, abs=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * (1 + np.trace(a.covariance)))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 100))
def test_batches_make_no_difference(sizes: list[int], seed: int) -> None:
    """However features are split into batches, empty ones included, mean and covariance are those of all."""
    x = drawn(seed, n=sum(sizes) + 2) + 1e4
    parts = np.split(x, np.cumsum(sizes))
    whole, merged = of(x), gaussian(parts)
    assert merged.n == len(x)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, np.cov(x, rowvar=False), rtol=1e-6, atol=1e-7)


def test_tells_when_there_are_too_few_features() -> None:
    """Up to as many features as dimensions the covariance has not full rank."""
    assert of(drawn(0, n=6, d=6)).deficient and not of(drawn(0, n=7, d=6)).deficient


def test_few_features_are_farther_apart() -> None:
    """Why the floor must take equal numbers: between halves of real digits the distance falls with n."""
    digits = load_digits().data / 16
    order = np.random.default_rng(0).permutation(len(digits))
    distances = [
        frechet_distance(of(digits[order[:n]]), of(digits[order[n : 2 * n]])) for n in (40, 200, 890)
    ]
    assert distances[0] > 2 * distances[1] > 4 * distances[2]


def test_refuses_what_has_no_distance() -> None:
    """One feature has no covariance, none no mean, and dimensions must be equal; each error says which."""
    with pytest.raises(ValueError, match="at least 2 features, but got 1"):
        frechet_distance(of(np.ones((1, 3))), of(np.ones((2, 3))))
    with pytest.raises(ValueError, match="no features"):
        gaussian([np.ones((0, 3))])
    with pytest.raises(ValueError, match="differ in dimensions: 3 and 4"):
        frechet_distance(of(np.ones((2, 3))), of(np.ones((2, 4))))
