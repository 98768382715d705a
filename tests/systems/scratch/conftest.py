"""What tests of derivatives share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]


@pytest.fixture(scope="session")
def gradient_error() -> Callable[[Callable[[], float], Array, Array], float]:
    """A function `(loss, at, claimed) -> error`: how far a claimed gradient is from the numerical one.

    Central differences, (loss(a + h) - loss(a - h)) / 2h for each number of `at` (float64, changed in place and put
    back); the error is ‖claimed - numerical‖ / (‖claimed‖ + ‖numerical‖), 0 where both are 0.
    """

    def error(loss: Callable[[], float], at: Array, claimed: Array, step: float = 1e-5) -> float:
        found = np.empty_like(at)
        for i in np.ndindex(at.shape):
            kept = at[i]
            at[i] = kept + step
            above = loss()
            at[i] = kept - step
            found[i] = (above - loss()) / (2 * step)
            at[i] = kept
        size = np.linalg.norm(claimed) + np.linalg.norm(found)
        return float(np.linalg.norm(claimed - found) / size) if size else 0.0

    return error
