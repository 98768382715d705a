"""KID is the unbiased MMD² of a cubic kernel, and its standard error says how far it scatters."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import polynomial_kernel

from epochal.evidence.metrics.kernel_distance import kernel_distance


def by_scikit_learn(x: Any, y: Any) -> float:
    """The same formula with scikit-learn's kernel and whole matrices."""
    m, n = len(x), len(y)
    how = {"degree": 3, "gamma": 1 / x.shape[1], "coef0": 1}
    xx, yy, xy = (
        polynomial_kernel(x, x, **how),
        polynomial_kernel(y, y, **how),
        polynomial_kernel(x, y, **how),
    )
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2 * xy.mean())


@pytest.mark.parametrize("sizes", [(700, 700), (1100, 503), (4, 9)])
def test_agrees_with_scikit_learns_kernel(sizes: tuple[int, int]) -> None:
    """On real digits, of equal and unequal numbers, over several blocks and less than one."""
    digits = load_digits().data / 4
    x, y = digits[: sizes[0]], digits[-sizes[1] :]
    assert kernel_distance(x, y).value == pytest.approx(by_scikit_learn(x, y), rel=1e-9)


@pytest.mark.parametrize(("m", "n"), [(60, 60), (100, 40)])
def test_no_bias_and_a_cautious_error_for_equal_distributions(m: int, n: int) -> None:
    """Over 600 draws of one distribution: 0 on average, and errors that are right or a little too large, never small.

    Only the terms of pairs are left of the variance there; taking at least these makes the estimate too large.
    """
    values, squares = repeated(m, n, shift=0.0)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert 0.9 < squares.mean() / values.var(ddof=1) < 1.5


@pytest.mark.parametrize(("shift", "m", "n"), [(0.25, 60, 60), (1.0, 80, 50)])
def test_a_standard_error_that_fits_for_different_distributions(shift: float, m: int, n: int) -> None:
    """Over 600 draws of two: the mean of the squared errors is the variance seen, within what 600 draws tell."""
    values, squares = repeated(m, n, shift)
    assert values.mean() > 0
    assert squares.mean() == pytest.approx(values.var(ddof=1), rel=0.2)


def repeated(m: int, n: int, shift: float) -> tuple[Any, Any]:
    """Estimates and their squared errors over 600 draws of Gaussian features, the second set's means shifted."""
    rng = np.random.default_rng(5)
    found = [
        kernel_distance(rng.standard_normal((m, 8)), rng.standard_normal((n, 8)) + shift) for _ in range(600)
    ]
    return np.array([one.value for one in found]), np.array([one.se**2 for one in found])


def test_equal_sets_are_below_zero() -> None:
    """Without bias a set beside itself lies below 0, by what its diagonal is larger: it is no distance of points."""
    x = load_digits().data[:200] / 4
    assert kernel_distance(x, x).value < 0


def test_symmetric() -> None:
    """Exchanging the sets changes neither number."""
    digits = load_digits().data / 4
    there, back = (
        kernel_distance(digits[:300], digits[300:900]),
        kernel_distance(digits[300:900], digits[:300]),
    )
    assert there.value == pytest.approx(back.value, rel=1e-9)
    assert there.se == pytest.approx(back.se, rel=1e-9)


def test_refuses_other_shapes() -> None:
    """Too few features, or of different dimensions."""
    with pytest.raises(ValueError, match=r"m, n >= 4, but got \(3, 2\) and \(9, 2\)"):
        kernel_distance(np.ones((3, 2)), np.ones((9, 2)))
    with pytest.raises(ValueError, match=r"\(9, 2\) and \(9, 3\)"):
        kernel_distance(np.ones((9, 2)), np.ones((9, 3)))
