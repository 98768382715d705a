"""How well a segmentation agrees with the truth: pixel by pixel (IoU, Dice, accuracy) and by regions (Rand)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.arrays import Array, Float64, numpy_of

VOID = 255
Counts = NDArray[np.int64]


def confusion(truth: Array, predicted: Array, classes: int, *, ignore: int = VOID) -> Counts:
    """Pixels of each true class (row) that are predicted as each class (column): (classes, classes).

    Args:
        truth: class of each pixel, integers of any shape.
        predicted: likewise, of the same shape.
        classes: how many there are.
        ignore: the label of void pixels in `truth`; they are left out.

    Raises:
        ValueError: shapes that differ, or a label that is neither a class nor void.
    """
    truth, predicted = numpy_of(truth), numpy_of(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and predicted differ in shape: {truth.shape} and {predicted.shape}")
    counted = truth != ignore
    pair = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, labels in zip(("truth", "predicted"), pair, strict=True):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{name} must hold labels 0 … {classes - 1}, but got {labels.min()} … {labels.max()}"
            )
    return np.bincount(pair[0] * classes + pair[1], minlength=classes**2).reshape(classes, classes)


def iou(counts: Counts) -> Float64:
    """Intersection over union of each class, TP / (TP + FP + FN); NaN for a class that is nowhere.

    Args:
        counts: confusion (…, classes, classes): of one image, of each of many, or their sum over a whole set.

    Returns:
        (…, classes).
    """
    hit, truth, predicted = _margins(counts)
    return _ratio(hit, truth + predicted - hit)


def dice(counts: Counts) -> Float64:
    """Dice overlap of each class, 2·TP / (2·TP + FP + FN); NaN for a class that is nowhere. Shapes as `iou`."""
    hit, truth, predicted = _margins(counts)
    return _ratio(2 * hit, truth + predicted)


def pixel_accuracy(counts: Counts) -> Float64:
    """Share of pixels whose class is predicted: (…, classes, classes) → (…)."""
    return _ratio(_margins(counts)[0].sum(-1), counts.sum((-2, -1)))


def _margins(counts: Counts) -> tuple[Counts, Counts, Counts]:
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _ratio(part: Counts, whole: Counts) -> Float64:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


@dataclass(frozen=True)
class Overlap:
    """Agreement over a set of images.

    Attributes:
        n: images.
        iou: (classes,) of all pixels pooled; NaN for a class that is nowhere.
        mean_iou: over the classes that are somewhere.
        dice: (classes,), pooled likewise.
        pixel_accuracy: share of labelled pixels.
        counts: the pooled confusion (classes, classes).
        each: confusion of each image (n, classes, classes).
    """

    n: int
    iou: Float64
    mean_iou: float
    dice: Float64
    pixel_accuracy: float
    counts: Counts
    each: Counts


class Tally:
    """Adds up the confusion of images, one at a time; they may differ in size."""

    def __init__(self, classes: int, *, ignore: int = VOID) -> None:
        self.classes, self.ignore = classes, ignore
        self._each: list[Counts] = []

    def add(self, truth: Array, predicted: Array) -> None:
        """Counts one image: its truth and what is predicted, integers (H, W) (see `confusion`)."""
        self._each.append(confusion(truth, predicted, self.classes, ignore=self.ignore))

    def overlap(self) -> Overlap:
        """What was added so far.

        Raises:
            ValueError: nothing was.
        """
        if not self._each:
            raise ValueError("no image to measure")
        each = np.stack(self._each)
        counts = each.sum(0)
        of_class = iou(counts)
        return Overlap(
            n=len(each),
            iou=of_class,
            mean_iou=float(np.nanmean(of_class)) if counts.any() else float("nan"),
            dice=dice(counts),
            pixel_accuracy=float(pixel_accuracy(counts)),
            counts=counts,
            each=each,
        )


def over_images(
    values: Array, statistic: Callable[[Array], float], *, draws: int = 2000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over images (Efron 1979), always from the same random draws.

    It covers which images were at hand, not which seed trained; with fewer than some twenty images it is too narrow.

    Args:
        values: (n, …), one entry an image.
        statistic: of such an array of n resampled images.
        draws: resamples.
        confidence: of the interval.

    Raises:
        ValueError: no image.
    """
    values = numpy_of(values)
    if not len(values):
        raise ValueError("no image to resample")
    rng = np.random.default_rng(0)
    found = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(draws)]
    low, high = np.nanquantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


# --- regions
# -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandScore:
    """Foreground-restricted Rand score (Arganda-Carreras et al. 2015): 1 where both segmentations agree.

    Attributes:
        score: V_rand = Σ p² / (½·Σ s² + ½·Σ t²), the harmonic mean of the other two.
        split: Σ p² / Σ t²: of pixel pairs in one true segment, the share that stays together (1: nothing is split).
        merge: Σ p² / Σ s²: of pixel pairs in one predicted segment, the share that belongs together (1: nothing is
            merged).
    """

    score: float
    split: float
    merge: float


def segments(interior: Array, *, thin: bool = True) -> NDArray[np.int64]:
    """Numbers the regions of the interior: (H, W) bool → (H, W) integers from 1.

    Regions are connected along edges only (4-neighbours), so that a membrane that is one pixel wide in a diagonal
    still separates. Thinned, every other pixel joins its nearest region (Euclidean), so that borders have no width;
    else each such pixel is a region by itself, as in the challenges' own scripts.
    """
    from scipy import ndimage

    inside = numpy_of(interior).astype(bool)
    found, count = ndimage.label(inside)
    numbered: NDArray[np.int64] = found.astype(np.int64)
    if count and thin:
        nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
        numbered = numbered[tuple(nearest)]
        return numbered
    numbered[~inside] = count + 1 + np.arange((~inside).sum())
    return numbered


def rand_score(truth: Array, predicted: Array) -> RandScore:
    """Compares two segmentations by pairs of pixels, on the pixels that `truth` gives a segment (not 0).

    Over pairs of different pixels, p counts those in one segment of both, s those in one predicted segment, t those
    in one true segment; 1 - score is the adapted Rand error as scikit-image computes it.

    Args:
        truth: segment of each pixel, integers (H, W); 0 is outside of all and left out.
        predicted: likewise; 0 is a segment like any other.

    Raises:
        ValueError: shapes that differ, or fewer than two pixels with a true segment.
    """
    truth, predicted = numpy_of(truth), numpy_of(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and predicted differ in shape: {truth.shape} and {predicted.shape}")
    counted = truth != 0
    if counted.sum() < 2:
        raise ValueError("truth must hold at least two pixels that belong to a segment")
    _, t = np.unique(truth[counted], return_inverse=True)
    _, s = np.unique(predicted[counted], return_inverse=True)
    _, both = np.unique(t.astype(np.int64) * (int(s.max()) + 1) + s, return_counts=True)
    p, in_truth, in_predicted = (_pairs(sizes) for sizes in (both, np.bincount(t), np.bincount(s)))
    if not in_truth and not in_predicted:  # single pixels in both
        return RandScore(1.0, 1.0, 1.0)
    return RandScore(
        score=2 * p / (in_truth + in_predicted),
        split=p / in_truth if in_truth else 1.0,
        merge=p / in_predicted if in_predicted else 1.0,
    )


def _pairs(sizes: NDArray[np.int64]) -> float:
    """Ordered pairs of different pixels in segments of these sizes."""
    wide = sizes.astype(np.float64)
    return float((wide * (wide - 1)).sum())
