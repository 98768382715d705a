"""Whether a conditional generator obeys each condition alone: response of every measured condition to every moved one.

How near the measured values are to the requested ones is `thickness.fidelity`'s matter, one condition at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import Float64, numpy_of


@dataclass(frozen=True)
class Response:
    """What moves when one condition is moved.

    Attributes:
        n: latent vectors that each condition was moved at.
        matrix: shape (k, k); [i, j] is the mean over latent vectors of |change of measured j| / requested change of
            i. A perfect generator and instrument give the identity matrix.
        cross_talk: the largest entry off the diagonal; near 0 also where no condition moves anything.
    """

    n: int
    matrix: Float64
    cross_talk: float


def response(low: Any, high: Any, change: Any) -> Response:
    """The response matrix of k conditions.

    Absolute values are averaged, so that changes of opposite sign do not cancel; the noise of the instrument counts
    as cross-talk.

    Args:
        low: shape (k, n, k): measured conditions of n generated images with condition i (first axis) at its low end,
            all other conditions and the latent vectors fixed.
        high: the same with condition i at its high end.
        change: shape (k,): requested high minus requested low of each condition.

    Raises:
        ValueError: shapes that do not fit, nothing measured, or a change of zero.
    """
    at_low, at_high, asked = (numpy_of(values).astype(np.float64) for values in (low, high, change))
    k = len(asked)
    if at_low.shape != at_high.shape or at_low.ndim != 3 or at_low.shape[::2] != (k, k) or not at_low.size:
        raise ValueError(
            f"low and high must have shape ({k}, n, {k}) for {k} changes, but got {at_low.shape} and {at_high.shape}"
        )
    if not asked.all():
        raise ValueError(f"every condition must be moved, but the requested changes are {asked.tolist()}")
    matrix = np.abs(at_high - at_low).mean(axis=1) / np.abs(asked)[:, None]
    apart = ~np.eye(k, dtype=bool)
    return Response(n=at_low.shape[1], matrix=matrix, cross_talk=float(matrix[apart].max(initial=0.0)))
