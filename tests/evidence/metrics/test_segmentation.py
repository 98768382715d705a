"""Segmentation metrics against scikit-learn, against counting pair by pair, and on cases worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    fowlkes_mallows_score,
    jaccard_score,
)
from sklearn.metrics.cluster import pair_confusion_matrix

from epochal.evidence.metrics import segmentation as s

SIDES = st.tuples(st.integers(2, 6), st.integers(2, 6))


def labelled(highest: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Two label maps of one size, with labels 0 … highest."""
    maps = SIDES.flatmap(
        lambda shape: st.tuples(*[arrays.arrays(np.uint8, shape, elements=st.integers(0, highest))] * 2)
    )
    return maps


# --- pixels --------------------------------------------------------------------------------------------------------


def test_against_scikit_learn() -> None:
    """Confusion, IoU, Dice and accuracy over a set equal scikit-learn's on all labelled pixels pooled."""
    rng = np.random.default_rng(0)
    tally = s.Tally(4)
    pooled: list[np.ndarray] = []
    for height in (5, 16, 9):  # images of different size
        truth = rng.integers(0, 4, (height, 11)).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape))
        truth[rng.random(truth.shape) < 0.1] = s.VOID
        tally.add(torch.from_numpy(truth), predicted)
        kept = truth != s.VOID
        pooled.append(np.stack([truth[kept], predicted[kept]]))
    t, p = np.concatenate(pooled, 1)
    found = tally.overlap()
    np.testing.assert_array_equal(found.counts, confusion_matrix(t, p, labels=range(4)))
    np.testing.assert_allclose(found.iou, jaccard_score(t, p, average=None))
    np.testing.assert_allclose(found.dice, f1_score(t, p, average=None))
    assert found.mean_iou == pytest.approx(jaccard_score(t, p, average="macro"))
    assert found.pixel_accuracy == pytest.approx(accuracy_score(t, p))
    assert found.n == 3 and found.each.shape == (3, 4, 4)


@given(labelled(3))
def test_dice_and_iou_are_one_number(maps: tuple[np.ndarray, np.ndarray]) -> None:
    """Dice = 2·IoU / (1 + IoU) for every class that is somewhere; both are NaN for the others, and symmetric."""
    counts = s.confusion(*maps, 4)
    iou, dice = s.iou(counts), s.dice(counts)
    somewhere = np.array([(maps[0] == c).any() or (maps[1] == c).any() for c in range(4)])
    np.testing.assert_array_equal(np.isnan(iou), ~somewhere)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    np.testing.assert_array_equal(iou, s.iou(s.confusion(maps[1], maps[0], 4)))


def test_absent_classes_do_not_count() -> None:
    """A class that is neither there nor predicted leaves the mean alone; one that is only predicted counts 0."""
    tally = s.Tally(4)
    tally.add(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 2]]))
    found = tally.overlap()
    np.testing.assert_array_equal(found.iou, [1, 0.5, 0, np.nan])
    assert found.mean_iou == pytest.approx(0.5)


def test_void_is_left_out() -> None:
    """What is predicted on void pixels counts nowhere, and an image of nothing else has no accuracy."""
    truth, predicted = np.array([[0, 255, 1]]), np.array([[0, 1, 1]])
    assert s.confusion(truth, predicted, 2).tolist() == [[1, 0], [0, 1]]
    assert np.isnan(s.pixel_accuracy(s.confusion(np.full((2, 2), 255), np.zeros((2, 2), int), 2)))


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([[0, 2]], [[0, 1]], "truth must hold labels 0 … 1, but got 0 … 2"),
        ([[0, 1]], [[0, 7]], "predicted must hold labels 0 … 1, but got 0 … 7"),
        ([[0, 1]], [[0], [1]], "differ in shape"),
    ],
)
def test_refused(truth: list[list[int]], predicted: list[list[int]], message: str) -> None:
    """Labels without a class and shapes that differ are refused, naming the values."""
    with pytest.raises(ValueError, match=message):
        s.confusion(np.array(truth), np.array(predicted), 2)


def test_nothing_to_measure() -> None:
    """No image has no overlap, and nothing to resample."""
    with pytest.raises(ValueError, match="no image"):
        s.Tally(2).overlap()
    with pytest.raises(ValueError, match="no image"):
        s.over_images(np.zeros((0, 2)), np.mean)


def test_the_interval_over_images() -> None:
    """Close to the normal interval of a mean for many images; the same each time; a point where all are equal."""
    values = np.random.default_rng(1).normal(0.8, 0.1, 200)
    low, high = s.over_images(values, lambda v: float(v.mean()))
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)
    assert (low, high) == s.over_images(values, lambda v: float(v.mean()))
    assert s.over_images(np.full(5, 0.5), lambda v: float(v.mean())) == (0.5, 0.5)


# --- regions -------------------------------------------------------------------------------------------------------


def brute_force(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """Counts all ordered pairs of different pixels with a true segment, one by one."""
    pixels = [(t, p) for t, p in zip(truth.ravel(), predicted.ravel(), strict=True) if t != 0]
    both = in_truth = in_predicted = 0
    for (t1, p1), (t2, p2) in permutations(pixels, 2):
        in_truth += t1 == t2
        in_predicted += p1 == p2
        both += t1 == t2 and p1 == p2
    return both, in_truth, in_predicted


@given(labelled(3).filter(lambda maps: (maps[0] != 0).sum() >= 2))
def test_rand_score_by_counting_pairs(maps: tuple[np.ndarray, np.ndarray]) -> None:
    """Score, split and merge equal the shares of pairs counted one by one."""
    p, t, q = brute_force(*maps)
    found = s.rand_score(*maps)
    if t + q:
        assert found.score == pytest.approx(p / (0.5 * t + 0.5 * q))
    if t:
        assert found.split == pytest.approx(p / t)
    if q:
        assert found.merge == pytest.approx(p / q)


@given(labelled(4).filter(lambda maps: (maps[0] != 0).sum() >= 2))
def test_rand_score_against_scikit_learn(maps: tuple[np.ndarray, np.ndarray]) -> None:
    """The same numbers from scikit-learn's pair confusion matrix; split·merge is Fowlkes and Mallows' index squared."""
    kept = maps[0] != 0
    table = pair_confusion_matrix(maps[0][kept], maps[1][kept])
    p, t, q = table[1, 1], table[1].sum(), table[:, 1].sum()
    found = s.rand_score(*maps)
    if t and q:
        assert found.score == pytest.approx(2 * p / (t + q))
        index = fowlkes_mallows_score(maps[0][kept], maps[1][kept])
        assert found.split * found.merge == pytest.approx(index**2)


@given(labelled(4).filter(lambda maps: (maps[0] != 0).sum() >= 2), st.permutations(range(5)))
def test_names_of_segments_do_not_matter(maps: tuple[np.ndarray, np.ndarray], names: list[int]) -> None:
    """Renumbering the predicted segments changes nothing; the truth against itself is 1."""
    renamed = np.array(names)[maps[1]]
    assert s.rand_score(maps[0], renamed) == s.rand_score(*maps)
    assert s.rand_score(maps[0], maps[0]).score == 1


def test_one_gap_merges_two_cells() -> None:
    """Two cells of 12 pixels each: a gap in the membrane between them merges all pairs, splits none."""
    interior = np.ones((4, 7), bool)
    interior[:, 3] = False
    truth = s.segments(interior, thin=False) * interior
    assert set(np.unique(truth)) == {0, 1, 2}
    gap = interior.copy()
    gap[1, 3] = True
    found = s.rand_score(truth, s.segments(gap))
    assert found.split == 1 and found.merge == pytest.approx(2 * 12 * 11 / (24 * 23))
    assert s.rand_score(truth, s.segments(interior)).score == 1


def test_a_diagonal_membrane_separates() -> None:
    """Regions hold together along edges, not corners: one pixel in a diagonal is a border."""
    assert len(np.unique(s.segments(~np.eye(5, dtype=bool)))) == 2


def test_thinned_borders_have_no_width() -> None:
    """Each border pixel joins the nearer region; unthinned, each is a segment of its own."""
    interior = np.array([[1, 1, 0, 0, 0, 0, 1, 1]], bool)
    assert s.segments(interior).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]
    assert s.segments(interior, thin=False).tolist() == [[1, 1, 3, 4, 5, 6, 2, 2]]


def test_thick_borders_cost_only_unthinned() -> None:
    """A membrane drawn too thick leaves the thinned score at 1 and lowers the other one."""
    interior = np.ones((9, 19), bool)
    interior[:, 9] = False
    truth = s.segments(interior, thin=False) * interior
    thick = interior.copy()
    thick[:, 7:12] = False
    assert s.rand_score(truth, s.segments(thick)).score == 1
    assert s.rand_score(truth, s.segments(thick, thin=False)).score < 0.9


def test_all_membrane() -> None:
    """A prediction without any interior is one segment thinned (nothing to be near to: single pixels)."""
    truth = np.ones((3, 3), int)
    found = s.rand_score(truth, s.segments(np.zeros((3, 3), bool)))
    assert (found.score, found.split, found.merge) == (0, 0, 1)


def test_rand_needs_a_segment() -> None:
    """A truth of membrane alone has no score."""
    with pytest.raises(ValueError, match="at least two pixels"):
        s.rand_score(np.zeros((3, 3), int), np.ones((3, 3), int))
    with pytest.raises(ValueError, match="shape"):
        s.rand_score(np.zeros((3, 3), int), np.ones((3, 4), int))
