"""How good a classifier is: its answers (accuracy, confusion) and its probabilities (likelihood, calibration)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import Float64, numpy_of
from epochal.evidence.metrics.labels import wilson

BINS = 15
"""Bins of confidence, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Reliability:
    """Answers sorted by confidence (the probability of the class answered) into bins of equal width.

    Bin m of M holds confidences in ((m - 1)/M, m/M]. All arrays are (bins,); an empty bin has mean 0.

    Attributes:
        count: answers in the bin.
        confidence: their mean confidence.
        accuracy: share of them that is right.
    """

    count: NDArray[np.int64]
    confidence: Float64
    accuracy: Float64

    @property
    def ece(self) -> float:
        """Expected calibration error, Σ_m count_m / n · |accuracy_m - confidence_m|."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.count * gap).sum() / self.count.sum())


@dataclass(frozen=True)
class Classification:
    """What a classifier's logits say over n labelled items.

    Attributes:
        n: items.
        top1: share of items whose label has the largest logit (of equal ones, the first).
        low, high: Wilson's 95 % interval of `top1`; it covers the drawing of items, not that of seeds.
        top5: share of items whose label has one of the five largest logits; 1 for five classes or fewer.
        nll: negative log-likelihood, mean over items of -log p(label), nats.
        ece: expected calibration error over 15 bins (Guo et al., "On Calibration of Modern Neural Networks",
            2017).
        brier: mean over items of Σ_classes (p - [class is label])², from 0 to 2 (Brier 1950).
        confusion: counts, (classes, classes): row = label, column = answer.
        reliability: the bins that `ece` sums up.
    """

    n: int
    top1: float
    low: float
    high: float
    top5: float
    nll: float
    ece: float
    brier: float
    confusion: NDArray[np.int64]
    reliability: Reliability


def log_softmax(logits: Any) -> Float64:
    """log(exp(x_k) / Σ_j exp(x_j)) in float64, without overflow: (n, classes) → (n, classes)."""
    x = numpy_of(logits).astype(np.float64)
    x = x - x.max(axis=1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=1, keepdims=True)))


def measure(batches: Iterable[tuple[Any, Any]], *, bins: int = BINS) -> Classification:
    """Measures batches of (logits (n, classes), labels (n,)), of which it holds one at a time.

    Raises:
        ValueError: logits that are not finite or of another shape, a label outside 0 … classes - 1, or no
            item at all.
    """
    sums: _Sums | None = None
    for given in batches:
        logits, labels = _checked(*given)
        if not len(labels):
            continue
        sums = _Sums(logits.shape[1], bins) if sums is None else sums
        sums.add(logits, labels)
    if sums is None:
        raise ValueError("no items to classify")
    return sums.result()


class _Sums:
    """Everything that is added up over batches."""

    def __init__(self, classes: int, bins: int) -> None:
        self.confusion = np.zeros((classes, classes), dtype=np.int64)
        self.count = np.zeros(bins, dtype=np.int64)
        self.confidence, self.right = np.zeros(bins), np.zeros(bins)
        self.top5, self.nll, self.brier = 0, 0.0, 0.0

    def add(self, logits: Float64, labels: NDArray[np.int64]) -> None:
        """Adds a batch of (n, classes) logits with labels (n,)."""
        if logits.shape[1] != len(self.confusion):
            raise ValueError(f"batches differ in classes: {len(self.confusion)} and {logits.shape[1]}")
        items, bins = np.arange(len(labels)), len(self.count)
        answers = logits.argmax(axis=1)
        np.add.at(self.confusion, (labels, answers), 1)
        above = (logits > logits[items, labels][:, None]).sum(axis=1)
        self.top5 += int((above < 5).sum())

        log_p = log_softmax(logits)
        self.nll -= float(log_p[items, labels].sum())
        p = np.exp(log_p)
        confidence = p[items, answers]
        p[items, labels] -= 1
        self.brier += float(np.square(p).sum())

        # ((m - 1)/M, m/M]: a confidence of exactly m/M belongs to the lower bin.
        place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        self.count += np.bincount(place, minlength=bins)
        self.confidence += np.bincount(place, weights=confidence, minlength=bins)
        self.right += np.bincount(place, weights=answers == labels, minlength=bins)

    def result(self) -> Classification:
        """The means."""
        n, right = int(self.confusion.sum()), int(np.trace(self.confusion))
        low, high = wilson(right, n)
        filled = np.maximum(self.count, 1)
        reliability = Reliability(self.count, self.confidence / filled, self.right / filled)
        return Classification(
            n=n,
            top1=right / n,
            low=low,
            high=high,
            top5=self.top5 / n,
            nll=self.nll / n,
            ece=reliability.ece,
            brier=self.brier / n,
            confusion=self.confusion,
            reliability=reliability,
        )


def _checked(logits: Any, labels: Any) -> tuple[Float64, NDArray[np.int64]]:
    scores, wanted = numpy_of(logits).astype(np.float64), numpy_of(labels).astype(np.int64)
    if scores.ndim != 2 or wanted.shape != scores.shape[:1]:
        raise ValueError(
            f"logits must be (n, classes) and labels (n,), but got {scores.shape} and {wanted.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"logits must be finite, but {int((~np.isfinite(scores)).sum())} are not")
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < scores.shape[1]:
        raise ValueError(f"labels must be 0 … {scores.shape[1] - 1}, but got {wanted.min()} … {wanted.max()}")
    return scores, wanted
