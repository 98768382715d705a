"""Persistence images: what a pixel holds, scales, edges, and that batches and chunks change nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from epochal.errors import EpochalError, UsageError
from epochal.systems.data.persistence import diagrams
from epochal.systems.data.persistence_images import images, painted, ranges


def integrated(birth: float, lifetime: float, size: int, sigma: float, lowest: float) -> np.ndarray:
    """One bar's picture from SciPy's normal distribution."""
    across = np.diff(norm.cdf(np.linspace(-1, 1, size + 1), birth, sigma))
    upwards = np.diff(norm.cdf(np.linspace(lowest, lowest + 2, size + 1), lifetime, sigma))
    return lifetime * np.outer(upwards, across)


def one_bar(birth: float, lifetime: float, **how: float | bool) -> np.ndarray:
    """The picture of a single bar."""
    size = int(how.pop("size", 64))
    bar = np.array([0]), np.array([birth]), np.array([birth + lifetime])
    return painted(*bar, out=np.full((1, size, size), np.nan, np.float32), **how)[0]  # type: ignore[arg-type]


@given(st.floats(-0.9, 0.9), st.floats(0.1, 1.9))
def test_a_bar_inside_integrates_to_its_weight(birth: float, lifetime: float) -> None:
    """A Gaussian half a pixel wide: a bar's pixels sum to its lifetime, not within 1 % only but within 1e-5."""
    assert one_bar(birth, lifetime).sum() == pytest.approx(lifetime, rel=1e-5)


@given(
    st.floats(-1, 1),
    st.floats(0.01, 2),
    st.sampled_from([1, 5, 64]),
    st.sampled_from([0.003, 0.015, 0.2, 3.0]),
)
def test_pixels_are_integrals_up_to_the_edges(birth: float, lifetime: float, size: int, sigma: float) -> None:
    """Every pixel is SciPy's integral, at edges and corners, for Gaussians narrower than a pixel or wider than all."""
    expected = integrated(birth, lifetime, size, sigma, 0.0)
    assert np.allclose(one_bar(birth, lifetime, size=size, sigma=sigma), expected, atol=1e-6)


def test_paper_compat_moves_the_axis_and_divides_by_the_maximum() -> None:
    """Lifetimes from −1 on: a bar of 0.5 is painted there, one of 1.5 is lost without a division by zero."""
    expected = integrated(-0.3, 0.5, 64, 0.015, -1.0)
    found = one_bar(-0.3, 0.5, paper_compat=True)
    assert np.allclose(found, expected / expected.max(), atol=1e-5) and found.max() == 1
    assert not one_bar(-0.8, 1.5, paper_compat=True).any()


def test_signals_become_sums_of_their_bars(real_data: Path) -> None:
    """Real windows in several chunks and a rest: each channel's picture is the weighted sum over its own bars."""
    with np.load(real_data / "wisdm_watch_accel_6act.npz") as file:
        signals = file["accel"][:130, :500].transpose(0, 2, 1)
    low, high = ranges(signals)
    found = images(signals, low=low, high=high)
    assert found.shape == (130, 3, 64, 64) and found.dtype == np.float32
    for window, channel in [(0, 0), (21, 1), (77, 2), (129, 2)]:
        scaled = 2 * (signals[window, channel] - low[channel]) / (high[channel] - low[channel]) - 1
        _, birth, death = diagrams(scaled[None].astype(float))
        bars = zip(birth, death - birth, strict=True)
        expected = np.sum([integrated(b, lifetime, 64, 0.015, 0.0) for b, lifetime in bars], axis=0)
        assert len(birth) > 1 and np.allclose(found[window, channel], expected, atol=1e-5)


def test_values_beyond_the_range_are_clipped() -> None:
    """A spike above `high` is a wall of height 1, behind which a valley of −1 lives for 2; whole numbers will do."""
    signal = np.array([[[0, 10, 5, 90, 0]]])
    found = images(signal, low=0, high=20)
    assert np.array_equal(found, images(np.minimum(signal, 20.0), low=0, high=20))
    # (−0.5, 0) lies inside; of (−1, 1), in the corner, three quarters are lost.
    assert found.sum() == pytest.approx(0.5 + 2 / 4, rel=1e-5)


def test_ranges_are_of_channels_or_of_windows() -> None:
    """A range for a channel, or for each window of it, in any shape that fits; a constant one is no error."""
    signals = np.random.default_rng(0).normal(size=(5, 2, 50)) * [[1], [10]]
    signals[3, 1] = 4.0
    low, high = ranges(signals)
    assert low.shape == high.shape == (2,) and np.array_equal(low, signals.min((0, 2)))
    by_window = ranges(signals, per_window=True)
    assert by_window[0].shape == (5, 2) and np.all(by_window[0] < by_window[1])
    found = images(signals, low=by_window[0], high=by_window[1])
    assert not found[3, 1].any()
    alone = images(signals[2:3], low=by_window[0][2], high=by_window[1][2])
    assert np.allclose(found[2:3], alone, atol=1e-6)
    low, high = ranges(signals, outside=0.1)
    assert np.mean(signals[:, 0] < low[0]) == np.mean(signals[:, 0] > high[0]) == 0.1


def test_mistakes_are_explained() -> None:
    """A gap, an empty range, a size or a width of nothing: each is refused with its value and its place."""
    signals = np.zeros((3, 2, 8))
    with pytest.raises(EpochalError, match=r"low < high must hold, but got \(low=1, high=1\) for channel 1"):
        images(signals, low=[0, 1], high=1)
    with pytest.raises(EpochalError, match="low < high"):
        images(signals, low=0, high=np.nan)
    for wrong in ({"size": 0}, {"sigma": 0.0}, {"sigma": np.nan}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            images(signals, low=0, high=1, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels"):
        images(signals[0], low=0, high=1)
    with pytest.raises(UsageError, match="outside < 0"):
        ranges(signals, outside=0.5)
    signals[2, 1, 5] = np.nan
    with pytest.raises(EpochalError, match=r"1 of 3 windows .* window 2, channel 1"):
        images(signals, low=0, high=1)
