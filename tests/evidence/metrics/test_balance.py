"""Balanced accuracy, macro-F1 and the spread over people, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from epochal.evidence.metrics.balance import balanced_accuracy, by_subject, macro_f1, recalls

Pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def _confusion(pairs: list[tuple[int, int]]) -> np.ndarray:
    counts = np.zeros((5, 5), np.int64)
    np.add.at(counts, tuple(np.array(pairs).T), 1)
    return counts


@settings(deadline=None)
@given(Pairs)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_equal_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    """Both agree with an independent implementation for any labels, those of missing classes among them."""
    labels, answers = np.array(pairs).T
    counts = _confusion(pairs)
    assert balanced_accuracy(counts) == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
    assert macro_f1(counts) == pytest.approx(metrics.f1_score(labels, answers, average="macro"))


def test_always_the_commonest_class_is_no_balanced_success() -> None:
    """90 % right by always answering the commonest of two classes is 50 % balanced: what the number is for."""
    counts = np.array([[90, 0], [10, 0]])
    assert balanced_accuracy(counts) == 0.5
    assert recalls(counts).tolist() == [1.0, 0.0]


def test_nothing_measured_is_no_number() -> None:
    """Without any item there is no accuracy, and 0 would claim one."""
    assert np.isnan(balanced_accuracy(np.zeros((3, 3), np.int64)))
    assert np.isnan(macro_f1(np.zeros((3, 3), np.int64)))


def test_spread_is_over_people_not_items() -> None:
    """A person with many windows weighs no more than one with few."""
    found = by_subject(np.array([True, True, True, False, False]), np.array([7, 7, 7, 7, 3]))
    assert found.subjects.tolist() == [3, 7]
    assert found.accuracy.tolist() == [0.0, 0.75]
    assert found.count.tolist() == [1, 4]
    assert found.deviation == pytest.approx(np.std([0.0, 0.75], ddof=1))


def test_one_person_has_no_spread() -> None:
    """The deviation of one number is not 0 but unknown."""
    assert np.isnan(by_subject(np.array([True]), np.array([1])).deviation)


def test_unequal_lengths_are_refused() -> None:
    """A subject too few would silently shift all others."""
    with pytest.raises(ValueError, match="right and subjects"):
        by_subject(np.array([True, False]), np.array([1]))


def test_interval_over_people_is_wider_than_over_windows() -> None:
    """With equal counts it is the t interval of people's accuracies; 200 windows each do not make it narrower."""
    from scipy import stats

    accuracy = np.array([0.5, 0.7, 0.9, 0.95])
    right = np.concatenate([np.arange(200) < 200 * share for share in accuracy])
    found = by_subject(right, np.repeat(np.arange(4), 200))
    wanted = stats.t.interval(0.95, 3, loc=accuracy.mean(), scale=stats.sem(accuracy))
    assert found.interval() == pytest.approx((wanted[0], min(wanted[1], 1.0)))


def test_interval_weighs_people_by_their_windows() -> None:
    """It is about the share of all windows: its middle is the accuracy over windows, not the mean over people."""
    right = np.concatenate([np.arange(300) < 270, np.arange(100) < 50, np.arange(200) < 150])
    found = by_subject(right, np.repeat([0, 1, 2], [300, 100, 200]))
    low, high = found.interval()
    assert (low + high) / 2 == pytest.approx(right.mean()) or high == 1.0
