"""Resampling of recordings to another rate, so that a network sees the seconds it was trained on."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from epochal.errors import UsageError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

_LARGEST = 1000  # numerator or denominator: the filter grows with it
_OFF = 1e-4  # share by which the rate may then be off


def resample(samples: Array, rate: float, wanted: float) -> Array:
    """One recording at another rate: upsampled, low-pass filtered and decimated in one step (polyphase).

    SciPy's `resample_poly` with its Kaiser window (beta = 5, 10 periods to each side), the ratio of the rates as a
    fraction of whole numbers up to 1,000. Below 0.8 of the lower one of both Nyquist frequencies amplitudes are kept
    within 1 %; above 1.2 of it less than 1 % is left. Beyond the ends the signal is continued by the straight line
    through its first and last sample.

    Args:
        samples: (N, channels), one recording: consecutive in time, no NaN.
        rate: its samples a second.
        wanted: samples a second of the result, whose first sample is the first of `samples`.

    Returns:
        (ceil(N * wanted / rate), channels) in the type of `samples`; `samples` itself where both rates are equal.

    Raises:
        UsageError: a rate that is not positive, or rates whose ratio no fraction of such numbers comes near.
    """
    if not (rate > 0 and wanted > 0):
        raise UsageError(f"Rates must be positive, but rate = {rate:g} Hz and wanted = {wanted:g} Hz.")
    if rate == wanted or not len(samples):
        return samples
    from scipy.signal import resample_poly

    slower, faster = sorted((Fraction(rate), Fraction(wanted)))
    ratio = (slower / faster).limit_denominator(_LARGEST)
    if abs(float(ratio * faster / slower) - 1) > _OFF:
        raise UsageError(
            f"{rate:g} Hz cannot be resampled to {wanted:g} Hz: the ratio is no fraction of numbers up to {_LARGEST:,}."
        )
    if len(samples) == 1:  # no line goes through one sample
        return samples.repeat(math.ceil(wanted / rate), axis=0)
    up, down = ratio.as_integer_ratio() if wanted < rate else (1 / ratio).as_integer_ratio()
    resampled: Array = resample_poly(samples, up, down, axis=0, padtype="line")
    return resampled.astype(samples.dtype, copy=False)
