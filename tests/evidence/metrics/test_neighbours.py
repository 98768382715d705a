"""Nearest neighbours are those of scikit-learn, and copies have distance 0."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from epochal.evidence.metrics import neighbours
from epochal.evidence.metrics.neighbours import nearest, squared_radii

DIGITS = load_digits().images


def test_agrees_with_scikit_learn() -> None:
    """Indices and distances of pictures (n, 8, 8) over several blocks."""
    expected = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(DIGITS[600:].reshape(-1, 64))
    distances, indices = expected.kneighbors(DIGITS[:600].reshape(-1, 64))
    found = nearest(DIGITS[:600], DIGITS[600:], 4)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)
    assert (found.indices == indices).mean() > 0.99  # pictures of equal distance may stand in another order


def test_many_references_are_looked_at_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 100 references, the last one of fewer than k, give what all at once give."""
    expected = nearest(DIGITS[:50], DIGITS[50:1052], 5)
    monkeypatch.setattr(neighbours, "VALUES", 100 * 64)
    found = nearest(DIGITS[:50], DIGITS[50:1052], 5)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_copies_are_found_at_distance_zero() -> None:
    """A memorised image is told apart from a near one exactly, far from the origin too."""
    train = DIGITS + 1e4
    found = nearest(train[[5, 77]], train)
    assert found.indices[:, 0].tolist() == [5, 77]
    assert found.distances[:, 0].tolist() == [0, 0]
    assert (found.distances[:, 1] > 0).all()


def test_fewer_references_give_fewer_neighbours() -> None:
    """Three references have three neighbours to give."""
    assert nearest(DIGITS[:2], DIGITS[:3], 5).indices.shape == (2, 3)


def test_radii_are_those_of_the_kth_other() -> None:
    """An item is not its own neighbour; of fewer than k others the farthest counts."""
    x = np.array([[0.0], [1], [3], [7]])
    second, farthest = squared_radii(x, 2, 9)
    assert second.tolist() == [9, 4, 9, 36]
    assert farthest.tolist() == [49, 36, 16, 49]


def test_refuses_rows_of_other_sizes() -> None:
    """The message names both shapes."""
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\)"):
        nearest(np.ones((2, 3)), np.ones((4, 5)))
