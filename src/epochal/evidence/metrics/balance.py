"""How evenly a classifier does: over classes that are not equally frequent, and over the people it is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import Float64

Counts = NDArray[np.int64]


def recalls(confusion: Counts) -> Float64:
    """Share of each label's items that are answered right: (classes, classes) → (classes,); NaN without items."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.diag(confusion) / confusion.sum(axis=1), dtype=np.float64)


def balanced_accuracy(confusion: Counts) -> float:
    """Mean over classes of their recall; classes without an item are left out.

    Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", 2010. NaN where there is no item at all.

    Args:
        confusion: counts (classes, classes), row = label, column = answer.
    """
    found = recalls(confusion)
    seen = found[~np.isnan(found)]
    return float(seen.mean()) if len(seen) else float("nan")


def macro_f1(confusion: Counts) -> float:
    """Mean over classes of F1 = 2·TP / (2·TP + FP + FN); classes that are neither labelled nor answered are left out.

    Args:
        confusion: counts (classes, classes), row = label, column = answer.
    """
    right = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1)  # 2·TP + FP + FN
    seen = either > 0
    return float((2 * right[seen] / either[seen]).mean()) if seen.any() else float("nan")


@dataclass(frozen=True)
class Spread:
    """Accuracy person by person.

    Attributes:
        subjects: who, ascending: (people,).
        accuracy: share of each one's items that is answered right: (people,).
        count: items of each: (people,).
    """

    subjects: NDArray[np.int64]
    accuracy: Float64
    count: NDArray[np.int64]

    @property
    def deviation(self) -> float:
        """Standard deviation of the accuracies over people (n - 1 in the denominator); NaN with fewer than two."""
        return float(self.accuracy.std(ddof=1)) if len(self.accuracy) > 1 else float("nan")

    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of all items that are right, for other people like these.

        People, not their items, are independent: r ± t·s/√n, s² = Σ (count_i/mean count)²·(accuracy_i - r)² / (n - 1),
        with n - 1 degrees of freedom: the ratio estimator of cluster sampling (Cochran 1977, section 3.12); in [0, 1].

        Raises:
            ValueError: fewer than two people.
        """
        from scipy.stats import t

        n = len(self.accuracy)
        if n < 2:
            raise ValueError("an interval over people needs at least two")
        weights = self.count / self.count.mean()
        mean = float((weights * self.accuracy).mean())
        deviation = float(np.sqrt((np.square(weights * (self.accuracy - mean))).sum() / (n - 1)))
        half = float(t.ppf(0.975, n - 1)) * deviation / float(np.sqrt(n))
        return max(mean - half, 0.0), min(mean + half, 1.0)


def by_subject(right: NDArray[np.bool_], subjects: NDArray[np.int64]) -> Spread:
    """Sums up by person whether items (n,) were answered right.

    Raises:
        ValueError: arrays of different length, or empty ones.
    """
    if right.shape != subjects.shape or right.ndim != 1 or not len(right):
        raise ValueError(
            f"right and subjects must be (n,), n > 0, but got {right.shape} and {subjects.shape}"
        )
    people, place = np.unique(subjects, return_inverse=True)
    count = np.bincount(place)
    return Spread(people, np.bincount(place, weights=right) / count, count)
