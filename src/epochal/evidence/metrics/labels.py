"""Whether samples show what was asked for: label accuracy under a classifier, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import numpy_of


@dataclass(frozen=True)
class LabelAccuracy:
    """Agreement of wanted and recognised labels.

    Attributes:
        n: samples.
        accuracy: share of samples that the classifier recognises as what was wanted.
        low, high: Wilson's 95 % interval of that share; it covers the drawing of samples, not the mistakes of
            the classifier.
        confusion: counts, shape (classes, classes): row = wanted, column = recognised.
    """

    n: int
    accuracy: float
    low: float
    high: float
    confusion: NDArray[np.int64]


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share, without continuity correction (Wilson 1927).

    (p + z²/2n ± z·sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with p = successes / n.

    Raises:
        ValueError: unless 0 <= successes <= n, n >= 1 and 0 < confidence < 1.
    """
    if n < 1 or not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(
            f"`0 <= successes <= n`, `n >= 1` and `0 < confidence < 1` must hold, but got "
            f"(successes={successes}, n={n}, confidence={confidence})"
        )
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    p = successes / n
    middle = p + z2 / (2 * n)
    half = sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    # Rounding alone must not push an end past 0 or 1.
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def recognise(classify: Callable[[Any], Any], images: Any) -> NDArray[np.int64]:
    """The class of each image, shape (n,): `classify` gives classes (n,) or scores (n, classes)."""
    answer = numpy_of(classify(images))
    return (answer.argmax(axis=1) if answer.ndim == 2 else answer).astype(np.int64)


def measure(
    samples: Iterable[tuple[Any, Any]], classify: Callable[[Any], Any], classes: int = 10
) -> LabelAccuracy:
    """Label accuracy of batches of (images, wanted labels (n,)) under `classify`.

    `classify` takes the images as they come in the batch and gives classes (n,) or scores (n, classes).

    Raises:
        ValueError: a label outside 0 … classes - 1, other lengths than the images', or no sample at all.
    """
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for images, wanted in samples:
        want, got = numpy_of(wanted).astype(np.int64), recognise(classify, images)
        if want.shape != got.shape:
            raise ValueError(f"wanted and recognised labels differ in shape: {want.shape} and {got.shape}")
        for name, labels in (("wanted", want), ("recognised", got)):
            if labels.size and not 0 <= labels.min() <= labels.max() < classes:
                raise ValueError(
                    f"{name} labels must be 0 … {classes - 1}, but got {labels.min()} … {labels.max()}"
                )
        np.add.at(confusion, (want, got), 1)
    n, right = int(confusion.sum()), int(np.trace(confusion))
    if n == 0:
        raise ValueError("no samples to classify")
    low, high = wilson(right, n)
    return LabelAccuracy(n=n, accuracy=right / n, low=low, high=high, confusion=confusion)
