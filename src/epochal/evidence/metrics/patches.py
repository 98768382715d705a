"""Patches of a Laplacian pyramid: what images look like at each scale, without a network (Karras et al. 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.images import Images

Planes = NDArray[np.float32]

SIDE = 7
"""Of a patch, in pixels of its level."""
LEAST = 14
"""Levels end before their shorter side falls below this."""
PER_IMAGE = 4
"""Patches that are cut from each level of an image."""
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def pyramid(images: Images) -> list[Planes]:
    """Laplacian pyramid (Burt and Adelson 1983) of pictures (n, H, W, C), finest level first, pixels in [0, 1].

    Each level is what is lost by halving: x - up(down(x)); the last one is what is left.
    """
    levels: list[Planes] = []
    x: Planes = images.astype(np.float32) / np.float32(255)
    while min(x.shape[1:3]) // 2 >= LEAST:
        small = _smooth(x)[:, ::2, ::2]
        levels.append(x - _enlarged(small, x.shape))
        x = small
    return [*levels, x]


def cut(images: Images, rng: np.random.Generator) -> list[Planes]:
    """Random patches of every level, each (n · PER_IMAGE, SIDE · SIDE · C); smaller levels give whole images.

    The places depend on the generator and the number of the image, not on how images are batched.
    """
    found, levels = [], pyramid(images)
    places = rng.random((len(images), len(levels), PER_IMAGE, 2))
    for number, level in enumerate(levels):
        n, height, width, _ = level.shape
        side = min(SIDE, height, width)
        room = (height - side + 1, width - side + 1)
        corner = (places[:, number] * room).astype(np.int64)[..., None, None]  # (n, PER_IMAGE, 2, 1, 1)
        rows, columns = corner[:, :, 0] + np.arange(side)[:, None], corner[:, :, 1] + np.arange(side)
        patches = level[np.arange(n)[:, None, None, None], rows, columns]  # (n, PER_IMAGE, side, side, C)
        found.append(patches.reshape(n * PER_IMAGE, -1))
    return found


def _smooth(x: Planes) -> Planes:
    """Binomial filter of five along both axes; the image goes on mirrored at its borders."""
    for axis in (1, 2):
        widths = [(2, 2) if a == axis else (0, 0) for a in range(4)]
        padded = np.pad(x, widths, mode="reflect")
        length = x.shape[axis]
        x = sum(  # type: ignore[assignment]
            np.float32(weight) * padded.take(range(k, k + length), axis=axis)
            for k, weight in enumerate(_BINOMIAL)
        )
    return x


def _enlarged(small: Planes, shape: tuple[int, ...]) -> Planes:
    """Twice as large: zeros between the pixels, smoothed, times four."""
    x = np.zeros(shape, dtype=np.float32)
    x[:, ::2, ::2] = 4 * small
    return _smooth(x)
