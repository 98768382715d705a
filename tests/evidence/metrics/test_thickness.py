"""Thickness fidelity against scikit-learn, and the thickness condition against MNIST itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score

from epochal.evidence.metrics import thickness
from epochal.systems.data import glyphs


@given(st.integers(10, 400), st.floats(0.0, 2.0), st.integers(0, 1000))
def test_fidelity_equals_sklearn(n: int, noise: float, seed: int) -> None:
    """MAE and R² equal scikit-learn's with the request as truth; the deciles' errors average to the whole."""
    rng = np.random.default_rng(seed)
    requested = rng.uniform(-1, 1, n)
    measured = requested + rng.normal(0, noise, n)
    got = thickness.fidelity(requested, measured)
    assert got.mae == pytest.approx(mean_absolute_error(requested, measured), rel=1e-9, abs=1e-12)
    assert got.r2 == pytest.approx(r2_score(requested, measured), rel=1e-9, abs=1e-12)
    assert (np.diff(got.decile_request) >= 0).all()
    sizes = [len(part) for part in np.array_split(np.arange(n), 10)]
    assert np.average(got.decile_mae, weights=sizes) == pytest.approx(got.mae, abs=1e-12)
    assert np.average(got.decile_bias, weights=sizes) == pytest.approx(got.bias, abs=1e-12)


def test_r2_punishes_a_wrong_scale() -> None:
    """Values that correlate perfectly but at half the scale do not reach 1: the identity line counts."""
    requested = np.linspace(-1, 1, 101)
    assert thickness.fidelity(requested, requested).r2 == 1.0
    assert thickness.fidelity(requested, requested / 2).r2 == pytest.approx(0.75)


def test_white_ratio_of_bytes_and_overshooting_floats() -> None:
    """Bytes are divided by 255; values a decoder pushes past 1 count as the white they are drawn as."""
    half = np.array([[0, 255], [255, 0]], dtype=np.uint8)[None]
    np.testing.assert_array_equal(thickness.white_ratio(half), [0.5])
    np.testing.assert_array_equal(thickness.white_ratio(np.array([[[-1.0, 3.0], [1.0, 0.0]]])), [0.5])


def test_stroke_width_of_drawn_digits() -> None:
    """On digits of known stroke width every digit's mean is right within 10 %, and they correlate."""
    drawn = glyphs.draw(600, [1])
    width = thickness.stroke_width(drawn["images"])
    ratio = width / drawn["thickness"]
    for digit in range(10):
        assert ratio[drawn["labels"] == digit].mean() == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(width, drawn["thickness"])[0, 1] > 0.95


def test_stroke_width_of_bars() -> None:
    """A bar is as wide as drawn but for its ends, a grey one too; a blank image has no width."""
    bars = np.zeros((3, 200, 20))
    bars[0, :, 5:8], bars[1, :, 5:8] = 1.0, 0.4
    width = thickness.stroke_width(bars)
    np.testing.assert_allclose(width[:2], 3.0, rtol=0.03)
    assert np.isnan(width[2])
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        thickness.stroke_width(np.zeros((4, 4)))


def test_per_class_on_mnist(real_data: Path) -> None:
    """On MNIST the condition has mean 0 and spread 0.5 in *every* class, though '1' is far thinner."""
    with np.load(real_data / "mnist.npz", allow_pickle=False) as archive:
        images, labels = archive["x_train"], archive["y_train"]
    w = thickness.white_ratio(images)
    np.testing.assert_allclose(w[:100], images[:100].reshape(100, -1).mean(1) / 255, rtol=1e-12)
    mean = np.array([w[labels == c].mean() for c in range(10)])
    std = np.array([w[labels == c].std() for c in range(10)])
    assert mean[1] < 0.7 * np.delete(mean, 1).min()
    t = thickness.per_class(w, labels, mean, std)
    for c in range(10):
        assert abs(t[labels == c].mean()) < 0.02
        assert t[labels == c].std() == pytest.approx(0.5, abs=0.05)
    assert (t.min(), t.max()) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("requested", "measured", "message"),
    [
        (np.zeros(9), np.zeros(9), "at least 10 samples are needed, but got 9"),
        (np.zeros(12), np.zeros(12), "must vary, but all are 0.0"),
        (np.zeros(12), np.zeros(11), "12 and 11"),
        (np.zeros(12), np.full(12, np.nan), "measured must be finite"),
    ],
)
def test_refused(requested: np.ndarray, measured: np.ndarray, message: str) -> None:
    """What has no fidelity is refused with the offending numbers."""
    with pytest.raises(ValueError, match=message):
        thickness.fidelity(requested, measured)


def test_condition_refused() -> None:
    """Labels without a class and a class without spread are refused, naming the values."""
    with pytest.raises(ValueError, match="labels must be 0 … 1, but got 0 … 2"):
        thickness.per_class([0.1, 0.2], [0, 2], [0.1, 0.1], [0.1, 0.1])
    with pytest.raises(ValueError, match=r"std must be positive, but its least value is 0\.0"):
        thickness.per_class([0.1], [0], [0.1], [0.0])
