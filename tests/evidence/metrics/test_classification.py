"""Measures of classifiers against scikit-learn's and scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics as sk

from epochal.evidence.metrics import classification


def answers(n: int = 700, classes: int = 10, seed: int = 0) -> tuple[Any, Any]:
    """Logits (n, classes) that are right about half of the time, and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = 2 * rng.standard_normal((n, classes))
    logits[np.arange(n), labels] += 2.5
    return logits, labels


def batches(logits: Any, labels: Any, size: int = 64) -> Any:
    """The items in batches, the last one smaller, one of them empty."""
    yield logits[:0], labels[:0]
    for start in range(0, len(labels), size):
        yield logits[start : start + size], labels[start : start + size]


@pytest.mark.parametrize("classes", [2, 7, 10, 100])
def test_equals_scikit_learn(classes: int) -> None:
    """Accuracy, confusion, top 5, log loss and Brier score over batches are scikit-learn's over the whole."""
    logits, labels = answers(classes=classes)
    every = list(range(classes))
    got = classification.measure(batches(logits, labels))
    p = softmax(logits, axis=1)
    assert got.n == len(labels)
    assert got.top1 == sk.accuracy_score(labels, logits.argmax(1))
    np.testing.assert_array_equal(got.confusion, sk.confusion_matrix(labels, logits.argmax(1), labels=every))
    assert got.nll == pytest.approx(sk.log_loss(labels, p, labels=every), rel=1e-12)
    squared = classes * sk.mean_squared_error(np.eye(classes)[labels], p)
    assert got.brier == pytest.approx(squared, rel=1e-12)
    if classes > 5:
        assert got.top5 == pytest.approx(sk.top_k_accuracy_score(labels, logits, k=5, labels=every))
    else:
        assert got.top5 == 1


def test_interval_is_wilsons() -> None:
    """The interval of the accuracy is scipy's Wilson interval of the count of right answers."""
    logits, labels = answers()
    got = classification.measure([(logits, labels)])
    right = int((logits.argmax(1) == labels).sum())
    expected = binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_calibration_error_is_guos() -> None:
    """ECE and its bins equal the definition written out, bin by bin: Σ |B|/n · |acc(B) - conf(B)|."""
    logits, labels = answers(n=3000)
    p = softmax(logits, axis=1)
    confidence, right = p.max(1), p.argmax(1) == labels
    expected = 0.0
    got = classification.measure(batches(logits, labels))
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        assert got.reliability.count[m] == inside.sum()
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
            assert got.reliability.accuracy[m] == pytest.approx(right[inside].mean())
    assert got.ece == pytest.approx(expected, rel=1e-12)


def test_calibrated_probabilities_have_no_calibration_error() -> None:
    """Labels drawn from the stated probabilities: the error that is left is that of 200,000 draws."""
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((200_000, 4))
    drawn = (softmax(logits, axis=1).cumsum(1) > rng.random((200_000, 1))).argmax(1)
    assert classification.measure([(logits, drawn)]).ece < 0.005
    assert classification.measure([(3 * logits, drawn)]).ece > 0.1


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_batches_do_not_matter(size: int, seed: int) -> None:
    """Any way of cutting the items into batches gives the same numbers."""
    logits, labels = answers(n=200, classes=6, seed=seed)
    whole = classification.measure([(logits, labels)])
    parts = classification.measure(batches(logits, labels, size))
    np.testing.assert_array_equal(parts.confusion, whole.confusion)
    for name in ("top1", "low", "high", "top5", "nll", "ece", "brier"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-12)


def test_tensors_and_extreme_logits() -> None:
    """Tensors of every precision are read; logits of a thousand neither overflow nor lose their likelihood."""
    logits = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    labels = torch.tensor([0, 0])
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        got = classification.measure([(logits.to(kind), labels)])
        assert got.top1 == 0.5 and got.nll == 500 and got.brier == 1
    assert got.reliability.count[-1] == 2 and got.ece == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros(3), np.zeros(3), "logits must be"),
        (np.zeros((3, 2)), np.zeros(2), "logits must be"),
        (np.zeros((1, 2)), np.array([2]), "0 … 1, but got 2 … 2"),
        (np.array([[np.nan, 0.0]]), np.array([0]), "1 are not"),
        (np.zeros((0, 2)), np.zeros(0), "no items"),
    ],
)
def test_refused(logits: Any, labels: Any, message: str) -> None:
    """Whatever would give a wrong number is refused, naming the values."""
    with pytest.raises(ValueError, match=message):
        classification.measure([(logits, labels)])
    with pytest.raises(ValueError, match="differ in classes: 2 and 3"):
        classification.measure([(np.zeros((1, 2)), [0]), (np.zeros((1, 3)), [0])])
