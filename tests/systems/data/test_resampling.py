"""Resampling: sines of known amplitude are kept below the new Nyquist frequency and gone above it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import UsageError
from epochal.systems.data.resampling import resample

RATES = [
    (100.0, 50.0),
    (100.0, 20.0),
    (100.0, 100 / 3),
    (20.0, 100.0),
    (85.7, 100.0),
    (52.0, 100.0),
    (100.0, 52.0),
]


def left(rate: float, wanted: float, frequency: float) -> float:
    """The amplitude of a sine of amplitude 1 after resampling, from its middle half."""
    times = np.arange(int(40 * rate)) / rate
    sine = np.sin(2 * np.pi * frequency * times)[:, None]
    middle = resample(sine, rate, wanted)[int(10 * wanted) : int(30 * wanted)]
    return float(np.sqrt(2 * (middle**2).mean()))


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_what_is_kept_and_what_is_gone(rate: float, wanted: float) -> None:
    """Within 1 % up to 0.8 of the lower Nyquist frequency, under 1 % from 1.2 of it: no alias stands for a movement."""
    nyquist = min(rate, wanted) / 2
    assert all(abs(left(rate, wanted, share * nyquist) - 1) < 0.01 for share in (0.1, 0.5, 0.8))
    high = [share * nyquist for share in (1.2, 1.5, 1.9) if share * nyquist < 0.98 * rate / 2]
    assert all(left(rate, wanted, frequency) < 0.01 for frequency in high)


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_a_slow_sine_stays_in_its_place(rate: float, wanted: float) -> None:
    """Resampled, a slow sine equals the sine sampled at the new rate: no shift in time, from the first sample on."""
    old, new = np.arange(int(20 * rate)) / rate, np.arange(int(19 * wanted)) / wanted
    samples = np.stack([np.sin(2 * np.pi * 0.7 * old), np.cos(2 * np.pi * 1.1 * old)], 1)
    wanted_samples = np.stack([np.sin(2 * np.pi * 0.7 * new), np.cos(2 * np.pi * 1.1 * new)], 1)
    found = resample(samples, rate, wanted)[: len(new)]
    inside = slice(int(wanted), -int(wanted))
    assert np.abs(found - wanted_samples)[inside].max() < 0.005


@given(st.sampled_from(RATES), st.integers(1, 400), st.floats(-8, 8), st.floats(-0.01, 0.01))
def test_a_straight_line_stays_one(rates: tuple[float, float], rows: int, start: float, slope: float) -> None:
    """Gravity in a still posture has no edge effects (0.3 %, the filter's own); length and type are as stated."""
    rate, wanted = rates
    line = (start + slope * np.arange(rows))[:, None].repeat(3, 1).astype(np.float32)
    found = resample(line, rate, wanted)
    assert found.dtype == np.float32 and abs(len(found) - rows * wanted / rate) < 1 + 1e-6
    expected = start + slope * np.arange(len(found)) * rate / wanted
    if rows > 1:
        assert np.abs(found - expected[:, None]).max() <= 0.003 * np.abs(expected).max() + 1e-5
    else:
        assert np.allclose(found, start)


def test_equal_rates_and_no_sample() -> None:
    """Where nothing is to be done the very array comes back; no samples resampled are none."""
    samples = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert resample(samples, 100, 100) is samples
    assert resample(samples[:0], 100, 50).shape == (0, 3)


@pytest.mark.parametrize(
    ("rate", "wanted"), [(0.0, 100.0), (100.0, -1.0), (100.0, float("nan")), (100.0, 0.01)]
)
def test_impossible_rates(rate: float, wanted: float) -> None:
    """Rates that are none, or thousands of times apart, are refused and named."""
    with pytest.raises(UsageError, match=f"{rate:g} Hz|{wanted:g} Hz"):
        resample(np.zeros((10, 3), np.float32), rate, wanted)
