"""How well a number is predicted, beside always answering the mean: a network that learnt only that is said to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import vector

LEAST_GAIN = 1.1
"""A squared error that is not so many times below the mean predictor's is no prediction."""

LEAST_SPREAD = 0.2
"""Predictions that vary less than this share of the labels are the mean; those that vary more are wrong."""

FEW = 10
"""Labels below which the two errors say little: a verdict would be chance."""


@dataclass(frozen=True)
class Regression:
    """Errors of predictions p of labels y, over n items.

    Attributes:
        n: items.
        mse: mean (p - y)².
        mae: mean |p - y|.
        r2: 1 - Σ (p - y)² / Σ (y - ȳ)² with the mean ȳ of these labels; NaN where they are all equal.
        mean_mse: mean (m - y)², where m is the mean of the training labels.
        gain: mean_mse / mse: how many times smaller the squared error is than the mean predictor's.
        spread: standard deviation of the predictions as a share of the labels'; near 0 when they hardly move.
    """

    n: int
    mse: float
    mae: float
    r2: float
    mean_mse: float
    gain: float
    spread: float

    @property
    def predicts(self) -> bool:
        """Whether it is better than always answering the mean."""
        return self.gain >= LEAST_GAIN

    @property
    def collapsed(self) -> bool:
        """Whether it does little else than always answer the mean."""
        return not self.predicts and not self.spread >= LEAST_SPREAD

    def verdict(self) -> str:
        """What the numbers say, in words."""
        if self.gain >= 1:
            compared = f"{self.gain:.2f} times smaller than"
        else:
            compared = f"{1 / self.gain:.2f} times" if self.gain else "infinitely many times"
        if self.n < FEW:
            return f"has too few labels to judge (n = {self.n}): squared error {compared} the mean's"
        if self.predicts:
            return f"is predicted: squared error {compared} the mean's (n = {self.n:,})"
        why = "the network collapsed to the mean" if self.collapsed else "the answers vary and are wrong"
        return f"is NOT predicted, {why}: squared error {compared} that of always answering the mean (n = {self.n:,})"


def measure(predicted: Any, labelled: Any, mean: float) -> Regression:
    """Errors of predictions (n,) of labels (n,), beside always answering `mean`, that of the training labels.

    Raises:
        ValueError: lengths differ, there is no item, or a value is not finite.
    """
    p, y = vector(predicted, "predicted"), vector(labelled, "labelled")
    if p.shape != y.shape or not len(y) or not np.isfinite(mean):
        raise ValueError(
            f"predicted and labelled must be of one length above 0 and mean finite, but got {len(p)}, {len(y)}, {mean}"
        )
    error, varied = p - y, float(y.std())
    mse, mean_mse = float((error**2).mean()), float(((mean - y) ** 2).mean())
    return Regression(
        n=len(y),
        mse=mse,
        mae=float(np.abs(error).mean()),
        r2=1 - mse / varied**2 if varied else float("nan"),
        mean_mse=mean_mse,
        gain=mean_mse / mse if mse else float("inf"),
        spread=float(p.std()) / varied if varied else float("nan"),
    )
