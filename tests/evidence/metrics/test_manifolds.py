"""Precision, recall, density and coverage, against scikit-learn's neighbours and on sets whose answer is known."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from epochal.evidence.metrics.frechet import Gaussian
from epochal.evidence.metrics.kernel_distance import kernel_distance
from epochal.evidence.metrics.manifolds import manifolds

DIGITS, LABELS = load_digits(return_X_y=True)


def radii(features: np.ndarray, k: int) -> np.ndarray:
    """Distance of the k-th nearest other one, by scikit-learn."""
    return np.asarray(NearestNeighbors(n_neighbors=k + 1).fit(features).kneighbors(features)[0][:, k])


def test_agrees_with_scikit_learns_neighbours() -> None:
    """All four from whole matrices of distances; even digits beside noisy odd ones, over several blocks."""
    rng = np.random.default_rng(0)
    real, generated = DIGITS[:901], DIGITS[901:1500] + rng.normal(0, 2, (599, 64))
    far = np.sqrt(np.square(generated[:, None] - real[None]).sum(2))  # (599, 901)
    within = far <= radii(real, 5)
    found = manifolds(real, generated)
    assert found.precision == pytest.approx((far <= radii(real, 3)).any(1).mean())
    assert found.recall == pytest.approx((far <= radii(generated, 3)[:, None]).any(0).mean())
    assert found.density == pytest.approx(within.sum() / (5 * len(generated)))
    assert found.coverage == pytest.approx(within.any(0).mean())


def test_copies_are_perfect() -> None:
    """Every real image beside a copy of it: all inside, all covered, whatever rounding does."""
    found = manifolds(DIGITS[:500], DIGITS[:500].copy())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_missing_classes_cost_recall_and_coverage_not_precision() -> None:
    """Real digits without half of the classes look as real as ever, but do not show everything."""
    half = len(DIGITS) // 2
    real, other, kept = DIGITS[:half], DIGITS[half:], LABELS[half:] < 5
    whole, part = manifolds(real, other), manifolds(real, other[kept])
    assert part.precision > whole.precision - 0.02
    assert part.recall < whole.recall - 0.2
    assert part.coverage < whole.coverage - 0.25


def test_noise_costs_precision_and_density() -> None:
    """Digits under noise leave the balls of real ones."""
    rng = np.random.default_rng(0)
    clean = manifolds(DIGITS[:900], DIGITS[900:])
    noisy = manifolds(DIGITS[:900], DIGITS[900:] + rng.normal(0, 6, DIGITS[900:].shape))
    assert noisy.precision < 0.5 * clean.precision and noisy.density < 0.5 * clean.density


def test_few_images_take_fewer_neighbours() -> None:
    """With fewer than k others all of them count: no error, and copies are still inside."""
    assert manifolds(np.eye(2), np.eye(2)).precision == 1


def test_refuses_other_shapes() -> None:
    """One feature has no neighbour."""
    with pytest.raises(ValueError, match=r"m, n >= 2, but got \(1, 2\) and \(9, 2\)"):
        manifolds(np.ones((1, 2)), np.ones((9, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_features_that_are_not_finite(value: float) -> None:
    """One NaN among the real features made precision and recall 0 without a word; KID became NaN, FD a traceback."""
    good, bad = np.random.default_rng(0).normal(size=(2, 20, 3))
    bad[4, 1] = value
    for pair in ((good, bad), (bad, good)):
        for measure in (manifolds, kernel_distance):
            with pytest.raises(ValueError, match="1 of 20 are not"):
                measure(*pair)
    with pytest.raises(ValueError, match="1 of 20 are not"):
        Gaussian.of(bad)
