"""Persistence images: diagrams as small pictures of fixed size, which networks for images read.

Adams et al., "Persistence Images: A Stable Vector Representation of Persistent Homology", 2017.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from epochal.errors import EpochalError, UsageError
from epochal.systems.data.persistence import diagrams

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from epochal.systems.data.dataset import Array

SIZE, SIGMA = 64, 0.015

_SPAN = 2.0  # both axes
_REACH = 6  # standard deviations beyond which a Gaussian (2e-9 of it) is taken to be 0
_AT_ONCE = 64  # signals whose arrays, about a megabyte, stay in a core's cache


def images(
    signals: Array,
    *,
    low: ArrayLike,
    high: ArrayLike,
    size: int = SIZE,
    sigma: float = SIGMA,
    paper_compat: bool = False,
) -> Array:
    """One picture a channel: (n, channels, length) in, (n, channels, size, size) float32 out.

    Each channel is scaled so that [low, high] becomes [-1, 1], and clipped to it. Then, with the bars of `diagrams`:
    pixel[l, b] = Σ over bars of w · ∫∫ N(x; birth, σ²) · N(y; lifetime, σ²) over the pixel, w = lifetime. Rows are
    lifetimes in [0, 2], columns births in [-1, 1], both ascending. A bar well inside adds its lifetime to the sum of
    all pixels; what of a Gaussian lies beyond an edge is lost.

    Args:
        signals: in any unit.
        low: what becomes −1, in the signals' unit: a number, (channels,) or, for a scale of each window's own,
            (n, channels). `ranges` measures it, best on the training subjects: a scale of each window's own shows the
            noise of a still one as large as life.
        high: what becomes 1, likewise.
        size: pixels on a side.
        sigma: standard deviation σ of the Gaussians, on the scale of the axes.
        paper_compat: as in the published program: lifetimes too from −1 to 1 (bars beyond 1 are lost, and half the
            picture is empty), and every picture divided by its largest pixel.

    Raises:
        EpochalError: a value is not finite, or `low < high` does not hold.
        UsageError: `size` or `sigma` is not positive.
        ValueError: the signals are not (n, channels, length), or `low` and `high` do not fit them.
    """
    import numpy as np

    if size < 1 or not 0 < sigma < np.inf:
        raise UsageError(f"size >= 1 and sigma > 0 must hold, but got (size={size}, sigma={sigma}).")
    if signals.ndim != 3:
        raise ValueError(f"signals (n, channels, length) are needed, but got {signals.shape}")
    n, channels, length = signals.shape
    bottom, top = (np.broadcast_to(np.asarray(edge, float), (n, channels)) for edge in (low, high))
    check(signals, bottom, top)
    bottom, top = bottom.reshape(-1, 1), top.reshape(-1, 1)
    flat = signals.reshape(-1, length)
    made = np.empty((len(flat), size, size), np.float32)
    for start in range(0, len(flat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        scaled = (flat[part] - bottom[part]) * (_SPAN / (top[part] - bottom[part])) - 1
        np.clip(scaled, -1, 1, out=scaled)
        painted(*diagrams(scaled), out=made[part], sigma=sigma, paper_compat=paper_compat)
    return made.reshape(n, channels, size, size)


def ranges(signals: Array, *, outside: float = 0.0, per_window: bool = False) -> tuple[Array, Array]:
    """`low` and `high` of each channel of `signals` (n, channels, length), for `images`.

    Args:
        signals: in any unit, all values finite.
        outside: share of the samples, in [0, 0.5), that lies below `low`, and likewise above `high`. At 0 a single
            blow to the sensor sets the scale, and all else is drawn in a few pixels.
        per_window: a range of each window's own, (n, channels), instead of (channels,).

    Returns:
        Two arrays of float64. Where they would be equal, as of a channel that never changes: (value, value + 1).

    Raises:
        UsageError: `outside` is none of these shares.
    """
    import numpy as np

    if not 0 <= outside < 0.5:
        raise UsageError(f"0 <= outside < 0.5 must hold, but got outside={outside}.")
    low, high = np.quantile(signals, [outside, 1 - outside], axis=2 if per_window else (0, 2)).astype(float)
    return low, np.where(low < high, high, low + 1)


def painted(
    owner: Array,
    birth: Array,
    death: Array,
    *,
    out: Array,
    sigma: float = SIGMA,
    paper_compat: bool = False,
) -> Array:
    """The pictures of diagrams on the scale [-1, 1], painted into `out` (n, size, size) float32 and returned.

    The Gaussian is a product: a picture is lifetimesᵀ · births, two matrices (bars, pixels) of differences of the error
    function.

    Args:
        owner: (k,) which picture a bar goes into, in ascending order; as `diagrams` returns it.
        birth: (k,).
        death: (k,).
        out: replaced, whatever it holds.
        sigma: as for `images`.
        paper_compat: as for `images`.
    """
    import numpy as np

    n, size = out.shape[:2]
    lifetime = death - birth
    across = _shares(birth, -1.0, size, sigma)
    upwards = _shares(lifetime, -1.0 if paper_compat else 0.0, size, sigma)
    upwards *= lifetime[:, None].astype(np.float32)
    ends = np.searchsorted(owner, np.arange(n + 1))
    for picture, start, end in zip(out, ends, ends[1:], strict=False):
        np.matmul(upwards[start:end].T, across[start:end], out=picture)
    if paper_compat:
        largest = out.max((1, 2), keepdims=True)
        np.divide(out, largest, out=out, where=largest > 0)
    return out


def check(signals: Array, low: Array, high: Array) -> None:
    """Refuses what has no picture: signals (n, channels, length) by `low` and `high` (n, channels).

    Raises:
        EpochalError: a value is not finite, or `low < high` does not hold; it names the first window and channel.
    """
    import numpy as np

    finite: Array = np.all(np.isfinite(signals), axis=2)
    if not finite.all():
        window, channel = np.argwhere(~finite)[0]
        raise EpochalError(
            f"{np.sum(~finite.all(1))} of {len(signals)} windows hold values that are not finite; the first is window "
            f"{window}, channel {channel} (both from 0).",
            hint="Fill the gaps, or leave these windows out.",
        )
    ordered: Array = np.isfinite(high - low) & (low < high)
    if not ordered.all():
        window, channel = np.argwhere(~ordered)[0]
        raise EpochalError(
            f"low < high must hold, but got (low={low[window, channel]:g}, high={high[window, channel]:g}) "
            f"for channel {channel} of window {window} (both from 0).",
            hint="persistence_images.ranges(signals) measures both.",
        )


def _shares(centres: Array, low: float, size: int, sigma: float) -> Array:
    """What falls into each of `size` pixels from `low` on of Gaussians about `centres` (k,): (k, size) float32.

    Only the pixels that one reaches are computed.
    """
    import numpy as np
    from scipy.special import erf

    pixel = _SPAN / size
    reached = min(ceil(2 * _REACH * sigma / pixel) + 1, size)
    lowest = np.floor((centres - _REACH * sigma - low) / pixel).astype(np.int64)
    first = np.clip(lowest, 0, size - reached)[:, None]
    edges = low + pixel * (first + np.arange(reached + 1))
    below = erf((edges - centres[:, None]) / (sqrt(2) * sigma))
    shares = np.zeros((len(centres), size), np.float32)
    np.put_along_axis(shares, first + np.arange(reached), np.diff(below) / 2, axis=1)
    return shares
