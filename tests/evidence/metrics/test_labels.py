"""Label accuracy against scikit-learn, and its interval against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix

from epochal.evidence.metrics import labels


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(counts: tuple[int, int]) -> None:
    """The interval equals scipy's Wilson interval for any counts, and contains the share it is of."""
    k, n = counts
    low, high = labels.wilson(k, n)
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low - 1e-12 <= k / n <= high + 1e-12


def test_accuracy_equals_sklearn() -> None:
    """Accuracy and confusion over batches equal scikit-learn's over the whole."""
    rng = np.random.default_rng(0)
    wanted, noise = rng.integers(0, 10, 500), rng.random(500) < 0.2
    images = np.where(noise, rng.integers(0, 10, 500), wanted)
    batches = [(images[i : i + 64], wanted[i : i + 64]) for i in range(0, 500, 64)]
    got = labels.measure(batches, lambda x: x)
    assert got.accuracy == accuracy_score(wanted, images)
    np.testing.assert_array_equal(got.confusion, confusion_matrix(wanted, images, labels=range(10)))
    assert (got.low, got.high) == labels.wilson(int(np.trace(got.confusion)), 500)


def test_scores_and_classes_agree() -> None:
    """A classifier may give scores (the largest wins) or classes, as tensors or arrays."""
    scores = torch.randn(40, 10)
    wanted = torch.randint(0, 10, (40,))
    by_scores = labels.measure([(scores, wanted)], lambda x: x)
    by_class = labels.measure([(scores, wanted)], lambda x: x.argmax(1))
    np.testing.assert_array_equal(by_scores.confusion, by_class.confusion)


@pytest.mark.parametrize(
    ("wanted", "message"), [([0, 10], "wanted labels must be 0 … 9, but got 0 … 10"), ([1], "shape")]
)
def test_refused(wanted: list[int], message: str) -> None:
    """A label without a class and lengths that differ are refused, naming the values."""
    with pytest.raises(ValueError, match=message):
        labels.measure([(np.zeros(2), np.array(wanted))], lambda x: x)


def test_nothing_to_measure() -> None:
    """No sample at all, or impossible counts, have no accuracy."""
    with pytest.raises(ValueError, match="no samples"):
        labels.measure([], lambda x: x)
    with pytest.raises(ValueError, match="successes=3, n=2"):
        labels.wilson(3, 2)
