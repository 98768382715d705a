"""The response of measured conditions to moved ones: by hand, at its ideal, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from epochal.evidence.metrics import conditions


def test_a_perfect_generator_gives_the_identity() -> None:
    """Where each measured condition is the requested one, nothing else moves, whatever the range of the move."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, (4, 50, 4))
    change = np.array([1.0, 0.2, 0.3, -0.1])
    high = base + np.eye(4)[:, None, :] * change[:, None, None]
    found = conditions.response(base, high, change)
    np.testing.assert_allclose(found.matrix, np.eye(4), atol=1e-12)
    assert found.n == 50 and found.cross_talk == pytest.approx(0, abs=1e-12)


def test_response_by_hand() -> None:
    """Two conditions, two images: means of absolute changes over the requested change; the largest off the diagonal
    is the cross-talk, and changes of opposite sign do not cancel."""
    low = np.zeros((2, 2, 2))
    high = np.array([[[0.4, 0.1], [0.4, -0.3]], [[0.0, 0.5], [0.05, 0.3]]])
    found = conditions.response(low, high, [0.5, 0.5])
    np.testing.assert_allclose(found.matrix, [[0.8, 0.4], [0.05, 0.8]])
    assert found.cross_talk == pytest.approx(0.4)


def test_an_unmoved_condition_is_refused() -> None:
    """A requested change of zero has no response, and shapes must be those of k conditions."""
    with pytest.raises(ValueError, match="must be moved"):
        conditions.response(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), [1.0, 0.0])
    with pytest.raises(ValueError, match=r"shape \(2, n, 2\)"):
        conditions.response(np.zeros((2, 3)), np.zeros((2, 3)), [1.0, 1.0])
